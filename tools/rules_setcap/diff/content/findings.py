"""Findings, a budget and a context: common parts of the comparisons of all kinds of files.

Names and text from files are escaped when they are added, so that all text of a ContentDifference is printable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import printable
from rules_setcap.diff.model import ContentDifference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LINE = 240  # Characters of a line.


class ContentError(ValueError):
    """A file that is not what its first bytes say, or that takes too much to compare; the message is a sentence."""


@dataclass(slots=True)
class Findings:
    """The differences of two files that were found so far.

    Attributes:
      type: as in ContentDifference.
      summaries: the parts of the summary.
      details: the lines, at most limits.CONTENT_LINES.
      causes: the causes, without duplicates, in the order in which they were found.
      omitted: the number of lines that did not fit.
    """

    type: str
    summaries: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    causes: dict[str, None] = field(default_factory=dict)
    omitted: int = 0

    def add(self, summary: str, *details: str) -> None:
        """Adds a part of the summary, and lines."""
        self.summaries.append(summary)
        self.add_details(details)

    def add_details(self, lines: Iterable[str]) -> None:
        """Adds lines as far as they fit."""
        for line in lines:
            if len(self.details) < limits.CONTENT_LINES:
                self.details.append(cut(printable(line)))
            else:
                self.omitted += 1

    def add_causes(self, causes: Iterable[str]) -> None:
        """Adds causes, at most limits.CONTENT_CAUSES."""
        for cause in causes:
            if len(self.causes) < limits.CONTENT_CAUSES:
                self.causes[cut(printable(cause))] = None

    def add_member(self, name: str, difference: ContentDifference) -> None:
        """Adds the difference of a member of an archive.

        Args:
          name: the escaped name of the member; "" for the only content of a compressed file.
          difference: the difference of its content.
        """
        prefix = f"{name}: " if name else ""
        self.add_details([f"{prefix}{difference.type}: {difference.summary}", *("  " + line for line in difference.details)])
        self.add_causes(f"{cause}, in {name}" if name and ", in " not in cause else cause for cause in difference.causes)

    def finish(self) -> ContentDifference:
        """Returns the difference."""
        details = list(self.details)
        if self.omitted:
            details.append(f"... and {self.omitted} more lines")
        return ContentDifference(self.type, cut(printable("; ".join(self.summaries))), tuple(details), tuple(self.causes))


class Budget:
    """The bytes that may be read from within compressed files and archives to compare one pair of files."""

    def __init__(self, size: int) -> None:
        """Creates a budget.

        Args:
          size: bytes of both files.
        """
        self._left = limits.CONTENT_INSIDE + limits.CONTENT_INSIDE_PER_BYTE * size

    def spend(self, size: int) -> None:
        """Spends bytes that are read.

        Raises:
          ContentError: the files do not allow that.
        """
        self._left -= size + limits.CONTENT_READ
        if self._left < 0:
            raise ContentError(
                f"it has too much inside for its size (limit CONTENT_INSIDE: {limits.CONTENT_INSIDE >> 20} MiB and "
                f"{limits.CONTENT_INSIDE_PER_BYTE} bytes for each byte of the file)"
            )


@dataclass(frozen=True, slots=True)
class Context:
    """The limits of a comparison, and how to compare files within files.

    Attributes:
      compare: compares the contents of two seekable files with a name, in a context.
      budget: the budget of the outermost files.
      depth: how many more levels of files within files are compared.
    """

    compare: Callable[[str, BinaryIO, BinaryIO, Context], ContentDifference]
    budget: Budget
    depth: int

    def compare_inside(self, name: str, before: BinaryIO, after: BinaryIO) -> ContentDifference:
        """Compares two seekable files that are within the files of this context."""
        return self.compare(name, before, after, Context(self.compare, self.budget, self.depth - 1))


def cut(text: str, size: int = _LINE) -> str:
    """Returns a text of at most `size` characters: one that is too long loses its middle."""
    if len(text) <= size:
        return text
    head = (size - 5) * 2 // 3
    return f"{text[:head]} ... {text[len(text) - (size - 5 - head) :]}"


def count(number: int, noun: str, plural: str = "") -> str:
    """Returns a number with its noun: "1 byte", "2 bytes"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
