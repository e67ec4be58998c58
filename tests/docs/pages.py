"""The code and the commands of a page of the documentation, in the order of the page.

A block whose first line is a comment that consists of a path is a file, for instance `# app/BUILD.bazel` or `/* agent.c */`.
A block of the language `console` has commands, after `$ `, and what they print. In the output, `…` stands for text that differs
from run to run, such as a digest, or that the page leaves out; a line that consists of `…` stands for any number of lines.
Commands in a block of another language, such as `sh`, are not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"(?:#|//|/\*|<!--) ([\w./-]*[\w-]\.?[\w-]+)(?: \*/| -->)?\n")


class File(NamedTuple):
    """A file that a page shows.

    Attributes:
      path: its path in the workspace.
      text: its content, with the comment.
    """

    path: str
    text: str


class Command(NamedTuple):
    """A command that a page shows.

    Attributes:
      line: the command, which may have several lines.
      output: what it prints, as the page shows it; "" if the page shows nothing.
    """

    line: str
    output: str


class Snippet(NamedTuple):
    """Code of a page that is neither a file nor a command."""

    language: str
    text: str


def parse_page(text: str) -> Iterator[File | Command | Snippet]:
    """Yields the files, commands and other code of a page."""
    for language, block in _BLOCK.findall(text):
        if language == "console":
            yield from _parse_commands(block)
        elif match := _PATH.match(block):
            yield File(match[1], block)
        else:
            yield Snippet(language, block)


def _parse_commands(block: str) -> Iterator[Command]:
    """Yields the commands of a block of the language console."""
    assert block.startswith("$ "), block
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        count = next(index for index, line in enumerate(lines, 1) if not line.endswith("\\\n"))
        yield Command("".join(lines[:count]).rstrip("\n"), "".join(lines[count:]))


def matches_output(shown: str, printed: str) -> bool:
    """Returns whether a command printed what the page shows."""
    parts = []
    for line in shown.splitlines():
        if line == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append("[^\n]*".join(re.escape(text) for text in line.split("…")) + r"[ \t]*\n")
    return re.fullmatch("".join(parts), printed if printed.endswith("\n") or not printed else printed + "\n") is not None
