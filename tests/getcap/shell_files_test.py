"""The completion for bash completes flags and paths, and the completion for zsh and the man page have the flags of the program."""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import subprocess

import pytest

from rules_setcap.diagnostics.command_line import SHARED_STATUSES
from rules_setcap.diagnostics.version import VERSION
from rules_setcap.getcap import exit_statuses, explain_command, list_command, review_command
from support import require

FILES = pathlib.Path("tools/getcap").absolute()
PARSERS = {
    "getcap": list_command.make_parser(),
    "getcap --review": review_command.make_parser(),
    "getcap explain": explain_command.make_parser(),
}
STATUSES = {
    "getcap": exit_statuses.LIST,
    "getcap --review": exit_statuses.REVIEW,
    "getcap explain": exit_statuses.EXPLAIN,
}


def _list_flags(command: str) -> set[str]:
    """Returns the flags that --help of a command shows."""
    actions = PARSERS[command]._actions
    return {flag for action in actions if action.help != argparse.SUPPRESS for flag in action.option_strings}


def _complete(*words: str) -> list[str]:
    """Returns the completions of the last word of a command line in bash, which splits it at `=`."""
    split = [part for word in words for part in (re.split("(=)", word) if word.startswith("--") else [word])]
    split = [part for position, part in enumerate(split) if part or position == len(split) - 1]
    code = f"""\
source {FILES}/getcap.bash
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_getcap_rules_setcap
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    command = [require.tool("bash"), "--norc", "-u", "-c", code, "bash", *split]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize("command", PARSERS)
def test_bash_completes_every_flag(command):
    assert _complete(*command.split(), "-") == sorted(_list_flags(command), key=lambda flag: (not flag.startswith("--"), flag))
    assert _complete(*command.split(), "--plat") == ["--platform"]


@pytest.mark.parametrize(
    "words, completions",
    [
        (["getcap", "expl"], ["explain"]),
        (["getcap", "image", "expl"], [""]),
        (["getcap", "im"], ["image", "image.tar"]),
        (["getcap", ""], ["explain", "a file", "image", "image.tar"]),
        (["getcap", "a"], ["a file"]),
        (["getcap", "--", "--"], [""]),
        (["getcap", "--platform", "linux/arm"], ["linux/arm64", "linux/arm/v7"]),
        (["getcap", "--platform=linux/am"], ["linux/amd64"]),
        (["getcap", "--platform="], ["linux/amd64", "linux/arm64", "linux/arm/v7"]),
        (["getcap", "explain", "image", "--runtime", "p"], ["podman"]),
        (["getcap", "--review", "--runtime="], ["containerd", "cri-o", "docker", "nerdctl", "podman"]),
        (["getcap", "--review", "--allow", "image."], ["image.tar"]),
        (["getcap", "--review", "--allow=image."], ["image.tar"]),
        (["getcap", "explain", "image", "--service", ""], [""]),
    ],
)
def test_bash_completes_values_and_paths(tmp_path, monkeypatch, words, completions):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image").mkdir()
    for name in ("image.tar", "a file"):
        (tmp_path / name).write_text("")
    assert sorted(_complete(*words)) == sorted(completions)


def test_bash_registers_the_completion():
    done = subprocess.run(
        [require.tool("bash"), "--norc", "-c", f"source {FILES}/getcap.bash; complete -p getcap"], capture_output=True, text=True
    )
    assert done.stdout == "complete -F _getcap_rules_setcap getcap\n"


def test_zsh_completes_every_flag():
    text = (FILES / "_getcap").read_text()
    assert text.startswith("#compdef getcap\n")
    common, explain, review, listing = re.split(r"^  (?:if|elif|else)\b.*$", text, flags=re.MULTILINE)
    shared = _find_zsh_flags(common)
    parts = {"getcap explain": explain, "getcap --review": review, "getcap": listing.partition("\n}")[0]}
    for command, part in parts.items():
        flags = _list_flags(command)
        if command == "getcap --review":
            flags.add("--review")  # The flag that chooses the command.
        assert shared | _find_zsh_flags(part) == flags, command


def _find_zsh_flags(text: str) -> set[str]:
    """Returns the flags that arguments of _arguments describe, as in '(-x)--flag=[description]' and {-f,--flag}'[...]'."""
    single = re.findall(r"^ *(?:'|\")(?:\(.*?\))?(-[\w-]+)=?\[", text, re.MULTILINE)
    braces = re.findall(r"\{(-[\w,-]+)\}'\[", text)
    return {*single, *(flag for group in braces for flag in group.split(","))}


def _read_man_sections() -> dict[str, str]:
    """Returns the text of each section of the man page by its title, without escapes for fonts and hyphens."""
    text = re.sub(r"\\f[A-Z]", "", (FILES / "getcap.1").read_text()).replace("\\-", "-")
    _, *parts = re.split(r"^\.SH (.*)\n", text, flags=re.MULTILINE)
    return {title.strip('"'): part for title, part in zip(parts[::2], parts[1::2], strict=True)}


@pytest.mark.parametrize("command", PARSERS)
def test_the_man_page_describes_every_flag(command):
    section = _read_man_sections()["OPTIONS" if command == "getcap" else f"OPTIONS OF {command.upper()}"]
    tags = re.findall(r"^\.TP\n(.*)$", section, re.MULTILINE)
    flags = {flag for tag in tags for flag in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", tag)}
    assert flags == _list_flags(command)


def test_the_man_page_has_the_exit_statuses():
    _, *parts = re.split(r"^\.SS (.*)\n", _read_man_sections()["EXIT STATUS"], flags=re.MULTILINE)
    documented = {
        title: {int(status): " ".join(text.split()) for status, text in re.findall(r"\.TP\n\.B (\d+)\n([^.]*)", part)}
        for title, part in zip(parts[::2], parts[1::2], strict=True)
    }
    shared = documented.pop("All of them")
    assert shared == SHARED_STATUSES
    assert {command: {**statuses, **shared} for command, statuses in documented.items()} == STATUSES


def test_the_man_page_has_the_version():
    assert f'"rules_setcap {VERSION}"' in (FILES / "getcap.1").read_text()


def test_the_files_can_be_read_by_everybody():
    for name in ("getcap.bash", "_getcap", "getcap.1"):
        assert os.stat(FILES / name).st_mode & 0o444 == 0o444
