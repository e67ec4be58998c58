"""imagecap has the commands of getcap and image_diff, one table of exit statuses, and completion and a man page with its flags."""

from __future__ import annotations

import argparse
import pathlib
import re

import pytest
from layouts import Layout
from running import run_imagecap

from rules_setcap.capabilities import from_text
from rules_setcap.diagnostics.program_names import IMAGECAP
from rules_setcap.diagnostics.version import VERSION
from rules_setcap.diff import diff_command
from rules_setcap.diff.model import KINDS
from rules_setcap.getcap import cli as getcap_cli
from rules_setcap.getcap import explain_command, list_command, review_command
from rules_setcap.imagecap import cli, exit_statuses, set_arguments
from support.completion import complete_in_bash
from support.image import tar

FILES = pathlib.Path("tools/imagecap").absolute()
PAGE = pathlib.Path("docs/imagecap.md").absolute()
PARSERS = {
    "get": list_command.make_parser(IMAGECAP),
    "set": set_arguments.make_parser(),
    "explain": explain_command.make_parser(IMAGECAP),
    "review": review_command.make_parser(IMAGECAP),
    "diff": diff_command.make_parser(IMAGECAP),
}
NET = from_text("cap_net_bind_service=ep")


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
    layout = Layout(tmp_path / "image")
    return layout.write_index(layout.put_image(tar(("/x", NET, "\x7fELF"))))


def _list_flags(command: str) -> set[str]:
    """Returns the flags that --help of a command shows."""
    actions = PARSERS[command]._actions
    return {flag for action in actions if action.help != argparse.SUPPRESS for flag in action.option_strings}


def test_there_is_a_parser_for_each_command():
    assert list(PARSERS) == list(cli.COMMANDS)


@pytest.mark.parametrize("command", ["", *PARSERS])
def test_help_has_examples_and_exit_statuses(monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("NO_COLOR", "1")
    done = run_imagecap(*filter(None, [command]), "--help")
    assert (done.status, done.stderr) == (0, "")
    examples = re.findall(r"^  \$ (.*)$", done.stdout, re.MULTILINE)
    assert len(examples) >= 3
    assert all(f"imagecap {command}" in example for example in examples)
    assert not re.search(r"\{\w+\}|\bgetcap (?!\w+\()|image_diff", "\n".join(examples)), examples
    statuses = re.findall(r"^  (\d+) +(.*)$", done.stdout, re.MULTILINE)
    assert {int(status) for status, _ in statuses} <= set(exit_statuses.ALL)


@pytest.mark.parametrize("command", ["", *PARSERS])
def test_the_version_is_that_of_imagecap(command):
    assert run_imagecap(*filter(None, [command]), "--version") == (0, f"imagecap (rules_setcap) {VERSION}\n", "")


def test_the_commands_print_what_getcap_prints(image, capsys):
    for arguments, others in {
        ("get", "--json"): ["--json"],
        ("get", "--layer"): ["--layer"],
        ("review",): ["--review"],
        ("review", "--sarif"): ["--review", "--sarif"],
        ("explain",): ["explain"],
    }.items():
        done = run_imagecap(*arguments, image)
        assert getcap_cli.main([*others, str(image)]) == done.status
        assert capsys.readouterr().out == done.stdout


MISTAKES = {
    (): "imagecap: a command is missing; write one of get, set, explain, review, diff\n",
    ("gte",): 'imagecap: "gte": no such command; did you mean "get"?\n',
    ("app.tar",): 'imagecap: "app.tar": no such command; write one of get, set, explain, review, diff\n',
    ("--verison",): 'imagecap: unrecognized arguments: --verison; did you mean "--version"?\n',
    ("set", "a"): 'imagecap set: the following arguments are required: OUT; "imagecap set --help" describes the arguments\n',
    ("set", "a", "b"): 'imagecap set: a file is missing; write PATH=CLAUSES, as "/usr/sbin/nginx=cap_net_bind_service=ep"\n',
    (
        "set",
        "--strip",
        "a",
        "b",
        "/x=bpf",
    ): "imagecap set: argument --strip: takes no PATH=CLAUSES; write --only to assign these and take the others away\n",
    (
        "set",
        "--rewrite",
        "--compression=zstd",
        "a",
        "b",
        "/x=bpf",
    ): "imagecap set: argument --compression: zstd: --rewrite keeps the compression of a layer; leave it out\n",
    (
        "set",
        "--format=oci",
        "a",
        "-",
        "/x=bpf",
    ): "imagecap set: argument --format: oci: standard output cannot be a directory; write oci-archive or docker-archive\n",
    ("get", "none"): 'imagecap: image: "none": no such file or directory; if it is the name of an image, copy the image with '
    '"skopeo copy docker://none oci:none", and write "none"\n',
    (
        "set",
        "none",
        "b",
        "--rewrite",
        "/x=bpf",
    ): 'imagecap: image: "none": no such file or directory; if it is the name of an image, '
    'copy the image with "skopeo copy docker://none oci:none", and write "none"\n',
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes_have_a_message_that_says_what_to_write(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    assert run_imagecap(*arguments) == (2, "", MISTAKES[arguments])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "order", [("{in} {out} /x=bpf --rewrite"), ("{in} --rewrite {out} /x=bpf"), ("--rewrite {in} {out} -- /x=bpf")]
)
def test_flags_may_be_anywhere(tmp_path, image, order):
    words = [word.replace("{in}", str(image)).replace("{out}", str(tmp_path / "new")) for word in order.split()]
    assert run_imagecap("set", *words).status == 0


def test_the_statuses_are_those_of_the_page_and_of_the_man_page():
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert {int(status): meaning for status, meaning in rows} == exit_statuses.ALL
    statuses = _read_man_page().partition('.SH "EXIT STATUS"')[2].partition(".SH ")[0]
    documented = re.findall(r"\.TP\n\.B (\d+)\n((?:[^.].*\n)*)", statuses)
    assert {int(status): " ".join(text.split()) for status, text in documented} == exit_statuses.ALL


def test_the_table_of_imagecap_has_every_status_of_its_commands():
    from rules_setcap.getcap import exit_statuses as getcap_statuses

    commands = (getcap_statuses.LIST, getcap_statuses.REVIEW, getcap_statuses.EXPLAIN, diff_command.STATUSES, exit_statuses.SET)
    assert {status for statuses in commands for status in statuses} == set(exit_statuses.ALL)


def _read_man_page() -> str:
    return re.sub(r"\\f[A-Z]", "", (FILES / "imagecap.1").read_text()).replace("\\-", "-")


def test_the_man_page_describes_every_flag_of_set():
    options = _read_man_page().partition(".SH OPTIONS OF IMAGECAP SET")[2].partition(".SH ")[0]
    tags = re.findall(r"^\.TP\n(.*)$", options, re.MULTILINE)
    assert {flag for tag in tags for flag in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", tag)} == _list_flags("set")
    assert f'"rules_setcap {VERSION}"' in _read_man_page()


def _complete(*words: str) -> list[str]:
    """Returns the completions of the last word of a command line."""
    return complete_in_bash(FILES / "imagecap.bash", *words)


@pytest.mark.parametrize("command", PARSERS)
def test_bash_completes_every_flag(command):
    assert set(_complete("imagecap", command, "-")) == _list_flags(command)
    assert _complete("imagecap", command, "a", "--plat") == ["--platform"]


@pytest.mark.parametrize(
    "words, completions",
    [
        ([""], [*PARSERS, "--help", "--version", "-h"]),
        (["s"], ["set"]),
        (["set", "im"], ["image", "image.tar"]),
        (["set", "--", "--"], [""]),
        (["set", "--format", "o"], ["oci", "oci-archive"]),
        (["set", "--format="], ["docker-archive", "oci", "oci-archive"]),
        (["set", "--compression=z"], ["zlib", "zstd"]),
        (["get", "--platform=linux/am"], ["linux/amd64"]),
        (["review", "--runtime", "p"], ["podman"]),
        (["explain", "image", "--service", ""], [""]),
        (["diff", "--ignore="], list(KINDS)),
    ],
)
def test_bash_completes_commands_values_and_paths(tmp_path, monkeypatch, words, completions):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image").mkdir()
    for name in ("image.tar", "a file"):
        (tmp_path / name).write_text("")
    assert sorted(_complete("imagecap", *words)) == sorted(completions)


def test_zsh_completes_every_flag_and_value():
    text = (FILES / "_imagecap").read_text()
    assert text.startswith("#compdef imagecap\n")
    common, _, rest = text.partition("case $command in")
    assert re.search(r"kinds='\((.*)\)'", common)[1].split() == list(KINDS)
    parts = dict(re.findall(r"^    (\w+)\)\n(.*?);;$", rest, re.MULTILINE | re.DOTALL))
    assert parts.keys() == PARSERS.keys()
    for command, part in parts.items():
        flags = re.findall(r"""^ *(?:'|")\*?(?:\(.*?\))?(-[\w-]+)=?\[""", common + part, re.MULTILINE)
        braces = [flag for group in re.findall(r"\{(-[\w,-]+)\}'\[", common) for flag in group.split(",")]
        assert {*flags, *braces} == _list_flags(command), command
    values = re.findall(r":(?:kind|compression):\((.*?)\)", parts["set"])
    assert [set(value.split()) for value in values] == [set(set_arguments.FORMATS), set(set_arguments.COMPRESSIONS)]
