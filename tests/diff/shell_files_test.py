"""The completion for bash completes flags, values and paths; the completion for zsh and the man page have the flags of image_diff."""

from __future__ import annotations

import pathlib
import re

import pytest

from rules_setcap.diagnostics.program_names import IMAGE_DIFF
from rules_setcap.diagnostics.version import VERSION
from rules_setcap.diff import diff_command
from rules_setcap.diff.model import KINDS
from support.completion import complete_in_bash

FILES = pathlib.Path("tools/image_diff").absolute()
FLAGS = {flag for action in diff_command.make_parser(IMAGE_DIFF)._actions for flag in action.option_strings}


def _complete(*words: str) -> list[str]:
    """Returns the completions of the last word of a command line."""
    return complete_in_bash(FILES / "image_diff.bash", *words)


def test_bash_completes_every_flag():
    assert set(_complete("image_diff", "-")) == FLAGS
    assert _complete("image_diff", "a", "--plat") == ["--platform"]


@pytest.mark.parametrize(
    "words, completions",
    [
        (["im"], ["image", "image.tar"]),
        (["image", "a"], ["a file"]),
        (["--", "--"], [""]),
        (["--", "im"], ["image", "image.tar"]),
        (["--platform", "linux/arm"], ["linux/arm64", "linux/arm/v7"]),
        (["--platform=linux/am"], ["linux/amd64"]),
        (["--ignore", ""], sorted(KINDS)),
        (["--ignore=mt"], ["mtime"]),
        (["--ignore="], sorted(KINDS)),
    ],
)
def test_bash_completes_values_and_paths(tmp_path, monkeypatch, words, completions):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image").mkdir()
    for name in ("image.tar", "a file"):
        (tmp_path / name).write_text("")
    assert sorted(_complete("image_diff", *words)) == sorted(completions)


def test_zsh_completes_every_flag_and_kind():
    text = (FILES / "_image_diff").read_text()
    assert text.startswith("#compdef image_diff\n")
    flags = re.findall(r"""^ *(?:'|")\*?(?:\(.*?\))?(-[\w-]+)=?\[""", text, re.MULTILINE)
    braces = [flag for group in re.findall(r"\{(-[\w,-]+)\}'\[", text) for flag in group.split(",")]
    assert {*flags, *braces} == FLAGS
    assert re.search(r"kinds='\((.*)\)'", text)[1].split() == list(KINDS)


def test_the_man_page_has_every_flag_every_kind_and_every_status():
    text = re.sub(r"\\f[A-Z]", "", (FILES / "image_diff.1").read_text()).replace("\\-", "-")
    options = text.partition(".SH OPTIONS")[2].partition(".SH ")[0]
    tags = re.findall(r"^\.TP\n(.*)$", options, re.MULTILINE)
    assert {flag for tag in tags for flag in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", tag)} == FLAGS
    kinds = re.search(r"The kinds are ([^.]*)\.", options)[1]
    assert re.findall(r"\w+", kinds.replace(" and ", " ")) == list(KINDS)
    statuses = text.partition('.SH "EXIT STATUS"')[2].partition(".SH ")[0]
    assert {int(status): meaning for status, meaning in re.findall(r"\.TP\n\.B (\d+)\n(.*)", statuses)} == diff_command.STATUSES
    assert f'"rules_setcap {VERSION}"' in text
