"""The images of MODULE.bazel are found, and only their digests are replaced."""

from __future__ import annotations

import pathlib

import pytest

from rules_setcap.bases.module_file import choose_pulls, read_pulls, replace_digests
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.diagnostics.problems import Problems

OLD, NEW = (f"sha256:{digit * 64}" for digit in "12")
EXTENSION = 'use_extension("@rules_setcap//rules:extensions.bzl", "bases")'
MODULE = f'''\
"""Größe: a docstring with bytes beyond ASCII."""

module(name = "app")  # {OLD}
images = {EXTENSION}
images.pull(name = "one", image = "registry.example/one", digest = '{OLD}', tag = "1")  # größer {OLD}
images.pull(
    name = "two",
    # {OLD}
    digest = "{OLD}",  # "quoted"
    image = "registry.example/two",
    insecure = True,
    platforms = ["linux/amd64", "linux/arm64"],
)
images.client(kind = "crane")
other = use_extension("@other//:extensions.bzl", "bases")
other.pull(name = "three", image = "registry.example/three", digest = "{OLD}", tag = "3")
use_repo(images, "one", "two")
'''


def _read(workspace: pathlib.Path, text: str) -> list:
    (workspace / "MODULE.bazel").write_text(text)
    problems = Problems()
    pulls = read_pulls(str(workspace), problems)
    problems.raise_if_any()
    return pulls


def test_calls_of_the_extension_are_found(tmp_path):
    one, two = _read(tmp_path, MODULE)
    assert (one.name, one.image, one.digest, one.tag, one.platforms) == ("one", "registry.example/one", OLD, "1", [])
    assert (two.name, two.tag, two.insecure, two.platforms) == ("two", "", True, ["linux/amd64", "linux/arm64"])


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_only_the_digests_are_replaced(tmp_path, newline):
    (tmp_path / "MODULE.bazel").write_bytes(MODULE.replace("\n", newline).encode())
    pulls = read_pulls(str(tmp_path), Problems())
    replace_digests((pull.span, NEW) for pull in pulls)
    expected = MODULE.replace(f"digest = '{OLD}'", f"digest = '{NEW}'").replace(f'    digest = "{OLD}"', f'    digest = "{NEW}"')
    assert (tmp_path / "MODULE.bazel").read_bytes() == expected.replace("\n", newline).encode()
    assert expected.count(NEW) == 2


def test_an_empty_digest_is_replaced(tmp_path):
    (pull,) = _read(tmp_path, f'b = {EXTENSION}\nb.pull(name = "x", image = "registry.example/x", digest = "", tag = "1")\n')
    replace_digests([(pull.span, NEW)])
    assert f'digest = "{NEW}", tag' in (tmp_path / "MODULE.bazel").read_text()


def test_a_link_stays_a_link(tmp_path):
    real = tmp_path / "real"
    real.write_text(MODULE)
    (tmp_path / "MODULE.bazel").symlink_to(real)
    replace_digests((pull.span, NEW) for pull in read_pulls(str(tmp_path), Problems()))
    assert (tmp_path / "MODULE.bazel").is_symlink() and NEW in real.read_text()


def test_included_files_are_read(tmp_path):
    (tmp_path / "third_party").mkdir()
    included = tmp_path / "third_party/bases.MODULE.bazel"
    included.write_text(MODULE)
    pulls = _read(tmp_path, 'include("//third_party:bases.MODULE.bazel")\ninclude("@other//:x.MODULE.bazel")\n')
    assert [pull.name for pull in pulls] == ["one", "two"]
    replace_digests((pull.span, NEW) for pull in pulls)
    assert included.read_text().count(NEW) == 2


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("@rules_setcap//rules:extensions.bzl", ["x"]),
        ("@my_setcap//rules:extensions.bzl", ["x"]),
        ("//rules:extensions.bzl", ["x"]),
        ("@rules_setcap//:extensions.bzl", []),
        ("@rules_setcap//rules:extensions.bzl.old", []),
    ],
)
def test_the_label_of_the_extension_decides(tmp_path, label, names):
    text = f'b = use_extension("{label}", "bases", dev_dependency = True)\nb.pull(name = "x", image = "registry.example/x")\n'
    assert [pull.name for pull in _read(tmp_path, text)] == names


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("module(", 'file: "MODULE.bazel": line 1, is not valid Starlark'),
        ("\0", 'file: "MODULE.bazel": is not valid Starlark'),
        ("(" * 100_000, 'file: "MODULE.bazel": '),
        (
            f'b = {EXTENSION}\nb.pull(name = "x", image = "registry.example/x", digest = DIGEST, tag = 1)',
            'digest: "MODULE.bazel, line 2": is not a literal; write the value itself, so that it can be read and replaced',
        ),
        (f'b = {EXTENSION}\nb.pull(name = "x")', 'image: "MODULE.bazel, line 2": is missing in this bases.pull; write it'),
        ("#" * (1 << 21), 'file: "MODULE.bazel": is larger than 1048576 bytes (limit VALUES)'),
    ],
)
def test_what_cannot_be_read_is_reported(tmp_path, text, problem):
    with pytest.raises(InputError) as raised:
        _read(tmp_path, text)
    assert raised.value.problems[0].startswith(problem)


def test_all_problems_are_reported(tmp_path):
    text = f'b = {EXTENSION}\nb.pull(name = X, image = Y)\nb.pull(name = "z", image = Z)\n'
    with pytest.raises(InputError) as raised:
        _read(tmp_path, text)
    assert [problem.partition(": is")[0] for problem in raised.value.problems] == [
        'name: "MODULE.bazel, line 2"',
        'image: "MODULE.bazel, line 2"',
        'image: "MODULE.bazel, line 3"',
    ]


def test_without_a_file_the_message_says_where_to_run(tmp_path):
    with pytest.raises(InputError) as raised:
        read_pulls(str(tmp_path), Problems())
    what = "No such file or directory; run the program in a workspace of Bazel"
    assert raised.value.problems == [f'file: "MODULE.bazel": {what}']


def test_names_choose_bases(tmp_path):
    pulls = _read(tmp_path, MODULE)
    assert [pull.name for pull in choose_pulls(pulls, ["two"])] == ["two"]
    assert [pull.name for pull in choose_pulls(pulls, [])] == ["one", "two"]
    with pytest.raises(InputError) as raised:
        choose_pulls(pulls, ["three", "four"])
    assert raised.value.problems == [
        f'name: "{name}": MODULE.bazel pulls no such base; it pulls "one", "two"' for name in ("three", "four")
    ]
