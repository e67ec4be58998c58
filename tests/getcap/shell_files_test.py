"""The completions for bash and zsh complete flags and paths, and the man page has the flags of the program."""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import pty
import re
import subprocess
import threading
import time

import pytest

from rules_setcap.diagnostics.command_line import SHARED_STATUSES
from rules_setcap.diagnostics.program_names import GETCAP
from rules_setcap.diagnostics.version import VERSION
from rules_setcap.getcap import exit_statuses, explain_command, list_command, review_command
from support import require
from support.completion import complete_in_bash

FILES = pathlib.Path("tools/getcap").absolute()
PARSERS = {
    "getcap": list_command.make_parser(GETCAP),
    "getcap --review": review_command.make_parser(GETCAP),
    "getcap explain": explain_command.make_parser(GETCAP),
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
    """Returns the completions of the last word of a command line."""
    return complete_in_bash(FILES / "getcap.bash", *words)


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


ZSH_SETUP = r"""
fpath=({files} $fpath)
autoload -Uz compinit && compinit -u -D
# Completion functions call compadd. With -O, -A or -D, it adds no matches.
compadd() {{
  local -a matches
  if [[ ${{@[1,(i)(-|--)]}} != *-(O|A|D)\ * ]]; then
    builtin compadd -A matches "$@"
    print -rl -- $matches >>{output}
  fi
  builtin compadd "$@"
}}
list-matches() {{ zle list-choices; print -r -- = >>{output}; BUFFER=; }}
zle -N list-matches
bindkey '^I' list-matches
"""


def _complete_in_zsh(directory: pathlib.Path, *lines: str) -> list[set[str]]:
    """Types each line and the tab key into a zsh; returns the completions of each.

    Args:
      directory: a new directory for the files of the test. The working directory of zsh is that of the test.
      *lines: beginnings of command lines.
    """
    directory.mkdir()
    output = directory / "matches"
    output.touch()
    (directory / "setup.zsh").write_text(ZSH_SETUP.format(files=FILES, output=output))
    environment = {"HOME": str(directory), "PATH": os.environ["PATH"], "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    controller, terminal = pty.openpty()
    command = [require.tool("zsh"), "-f", "-i"]
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
    ) as shell:
        os.close(terminal)
        screen: list[bytes] = []
        reader = threading.Thread(target=lambda: screen.extend(iter(lambda: _read_terminal(controller), b"")))
        reader.start()
        os.write(controller, f"source {directory}/setup.zsh\n".encode())
        for count, line in enumerate(lines, 1):
            os.write(controller, line.encode() + b"\t")
            end = time.monotonic() + 60
            while output.read_text().split("\n").count("=") < count:
                assert time.monotonic() < end, b"".join(screen)
                time.sleep(0.01)
        shell.kill()
        reader.join()
    os.close(controller)
    return [set(part.split("\n")) - {""} for part in re.split("^=$", output.read_text(), flags=re.MULTILINE)[:-1]]


def _read_terminal(controller: int) -> bytes:
    """Returns what a program writes to its terminal; nothing after it has exited."""
    try:
        return os.read(controller, 4096)
    except OSError:  # EIO
        return b""


def test_zsh_completes_every_flag(tmp_path):
    commands = {"getcap": "getcap", "getcap --review": "getcap --review", "getcap explain": "getcap explain image"}
    found = _complete_in_zsh(tmp_path / "zsh", *(f"{line} -" for line in commands.values()))
    for command, flags in zip(commands, found, strict=True):
        assert flags == _list_flags(command), command


@pytest.fixture(scope="module")
def zsh_completions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Returns the completions in zsh of each line of ZSH_LINES, in a directory with images."""
    directory = tmp_path_factory.mktemp("zsh")
    (directory / "files" / "image").mkdir(parents=True)
    for name in ("image.tar", "a file"):
        (directory / "files" / name).touch()
    with contextlib.chdir(directory / "files"):
        return dict(zip(ZSH_LINES, _complete_in_zsh(directory / "zsh", *ZSH_LINES), strict=True))


ZSH_LINES = {
    "getcap --plat": ["--platform"],
    "getcap expl": ["explain"],
    "getcap image expl": [],
    "getcap im": ["image", "image.tar"],
    "getcap ": ["explain", "a\\ file", "image", "image.tar"],
    "getcap --platform linux/arm": ["linux/arm64", "linux/arm/v7"],
    "getcap --platform=linux/am": ["linux/amd64"],
    "getcap explain image --runtime p": ["podman"],
    "getcap --review --runtime=": ["containerd", "cri-o", "docker", "nerdctl", "podman"],
    "getcap --review --allow image.": ["image.tar"],
    "getcap --review --allow=image.": ["image.tar"],
    "getcap explain image --service ": [],
    # Without those that another flag excludes.
    "getcap --review --sarif --": ["--allow", "--help", "--image", "--platform", "--runtime", "--version"],
    "getcap explain image --compose=compose.yaml --d": [],
}


@pytest.mark.parametrize("line", ZSH_LINES)
def test_zsh_completes_values_and_paths(zsh_completions, line):
    assert zsh_completions[line] == set(ZSH_LINES[line])


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
