"""Tests that unresolved symlinks become links with the text that they have in the runfiles tree of Bazel."""

from __future__ import annotations

import os
import pathlib
import tarfile

HERE = pathlib.Path("tests/rules")
RUNFILES = "bin/linked.runfiles"
TARGET = f"{RUNFILES}/_main/tests/rules"
STORE = f"{TARGET}/node_modules/.pnpm"

LINKS = {
    f"{TARGET}/linked": "../../../../linked",
    f"{TARGET}/linked.venv/bin/python": "/usr/bin/python3",
    f"{TARGET}/linked.venv/bin/python3": "../../../../../_main/tests/rules/interpreter",
    f"{TARGET}/linked.venv/bin/python3.14": "python3",
    f"{TARGET}/name": "node_modules/foo/name",
    f"{TARGET}/node_modules/foo": ".pnpm/foo@1/node_modules/foo",
    f"{TARGET}/node_modules/optional": ".pnpm/none@1/node_modules/none",
    f"{STORE}/foo@1/node_modules/bar": "../../bar@1/node_modules/bar",
    f"{RUNFILES}/_main/alias/node_modules/foo/name": "node_modules/foo/name",
    f"{RUNFILES}/root/name": "node_modules/foo/name",
    f"{RUNFILES}/root/python3": "../../../../../_main/tests/rules/interpreter",
}


def read_entries() -> dict[str, tarfile.TarInfo]:
    """Returns the entries of the layer, by name."""
    with tarfile.open(HERE / "links_layer.tar.gz") as archive:
        return {entry.name: entry for entry in archive}


def test_runfiles_keep_their_links():
    entries = read_entries()
    links = {name: entry.linkname for name, entry in entries.items() if entry.issym() and name.startswith("bin/")}
    assert links == LINKS
    assert {(entries[name].mode, entries[name].uid, entries[name].gid) for name in links} == {(0o777, 1000, 1001)}


def test_srcs_of_a_directory_keep_their_links():
    links = {name: entry.linkname for name, entry in read_entries().items() if entry.issym() and name.startswith("links/")}
    targets = {name: text for name, text in LINKS.items() if name.startswith(TARGET) and name != f"{TARGET}/linked"}
    assert links == {f"links/{pathlib.Path(name).name}": text for name, text in targets.items()}


def test_bazel_has_the_same_links():
    """The runfiles of this test include those of its data."""
    root = pathlib.Path.cwd().parent
    for name, text in LINKS.items():
        if name != f"{TARGET}/linked":
            assert os.readlink(root / name.removeprefix(RUNFILES + "/")) == text


def test_directories_that_actions_make_have_files_in_place_of_links():
    """Bazel does not keep links in these directories: sandboxes and remote executors get copies."""
    entries = read_entries()
    for module in ("foo", "bar"):
        directory = f"{STORE}/{module}@1/node_modules/{module}"
        below = {name.removeprefix(directory): entry for name, entry in entries.items() if name.startswith(directory)}
        assert {name: entry.size for name, entry in below.items() if entry.isreg()} == {
            "/lib/name": 4,
            "/library/name": 4,
            "/name": 4,
        }
        assert [name for name, entry in below.items() if entry.isdir()] == ["", "/lib", "/library"]
