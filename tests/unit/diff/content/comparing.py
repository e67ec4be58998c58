"""Compares the contents of files and of bytes, for the tests of this directory."""

from __future__ import annotations

import io
import pathlib

from rules_setcap.diff.content import compare_contents
from rules_setcap.diff.model import ContentDifference


def compare(before: bytes | pathlib.Path, after: bytes | pathlib.Path, name: str = "file") -> ContentDifference:
    """Compares two files, and checks what is true of every difference: it is printable, and bounded."""
    with _open(before) as old, _open(after) as new:
        difference = compare_contents(name, old, new)
    lines = [difference.type, difference.summary, *difference.details, *difference.causes]
    assert all(line.isprintable() and 0 < len(line) < 400 for line in lines), lines
    assert len(lines) < 100
    with _open(before) as old, _open(after) as new:
        assert compare_contents(name, old, new) == difference, "another answer the second time"
    return difference


def _open(file: bytes | pathlib.Path) -> io.BufferedIOBase:
    return io.BytesIO(file) if isinstance(file, bytes) else open(file, "rb")


def find(texts: tuple[str, ...], *words: str) -> str:
    """Returns the first of some texts that has all words."""
    matching = [text for text in texts if all(word in text for word in words)]
    assert matching, f"{words} in none of:\n" + "\n".join(texts)
    return matching[0]
