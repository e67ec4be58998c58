"""Guesses why two texts or two pieces of data differ: timestamps, paths, random identifiers."""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING

from rules_setcap.diff.content.findings import cut

if TYPE_CHECKING:
    from collections.abc import Iterator

_MONTHS = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TIME = r"[0-2]\d:[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?"
PATH = r"(?<![\w.)}/>-])/[\w.+@~%=,-]++(?:/[\w.+@~%=,-]++)++"
"""An absolute path of at least two components, as a regular expression."""
# The order is that of the search: a path may have a date in it, and a hash may look like a date.
_PATTERNS = (
    ("UUID", re.compile(r"\b[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\b", re.ASCII)),
    (
        "timestamp",
        re.compile(
            rf"\b(?:19|20)\d\d[-/][01]\d[-/][0-3]\d(?:[T ]{_TIME}(?:Z| ?[+-]\d\d:?\d\d)?)?"
            rf"|\b{_MONTHS} [ 0-3]?\d(?:,? \d{{4}})?(?: {_TIME})?(?: [A-Z]{{3,4}})?(?: \d{{4}})?\b"
            rf"|\b[ 0-3]?\d {_MONTHS} \d{{4}}(?: {_TIME})?"
            rf"|\b[0-2]\d:[0-5]\d:[0-5]\d\b"
            rf"|\b20\d\d[01]\d[0-3]\d(?:[T_-]?\d{{6}}Z?)?\b"
            rf"|\b1\d{{9}}(?:\d{{3}})?\b",
            re.ASCII,
        ),
    ),
    ("embedded path", re.compile(PATH, re.ASCII)),
    ("hash or random value", re.compile(r"\b[0-9a-f]{32,128}\b", re.ASCII)),
)
_TEXT = 2000  # Characters of a text that are searched.
_SHOWN = 100  # Characters of a text that are shown.
_BEFORE = 30  # Characters before the difference.
_EARLIEST, _LATEST = 1_000_000_000, 2_200_000_000  # 2001 to 2039, in seconds since 1970.
_NEAR = 5 * 365 * 86400  # Seconds between two builds. It makes it improbable that two random words look like timestamps.


def find_text_causes(before: str, after: str) -> Iterator[str]:
    """Yields the causes why two texts differ, such as `timestamp: 2026-01-01 -> 2026-01-02`."""
    before, after = before[:_TEXT], after[:_TEXT]
    for name, pattern in _PATTERNS:
        old, new = pattern.findall(before), pattern.findall(after)
        pair = next(((one, other) for one, other in zip(old, new, strict=False) if one != other), None)
        if pair:
            yield f"{name}: {' -> '.join(_cut_pair(*pair))}"
        # Text that was recognized is not searched again, so that a date in a path does not become a second cause.
        before, after = pattern.sub(" ", before), pattern.sub(" ", after)


def _cut_pair(before: str, after: str) -> Iterator[str]:
    """Yields two texts. Long texts lose most of what they have in common at their starts, and a part of the rest."""
    common = next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), 0)
    start = max(common - _BEFORE, 0) if max(len(before), len(after)) > _SHOWN else 0
    for text in (before, after):
        yield ("..." if start else "") + cut(text[start:].strip(), _SHOWN)


def find_data_causes(before: bytes, after: bytes, start: int, end: int, base: int) -> Iterator[str]:
    """Yields the causes why two pieces of data differ.

    Args:
      before: bytes around the difference.
      after: the bytes at the same offsets of the other file.
      start: where in these bytes the difference starts.
      end: where it ends.
      base: the offset in the file of their first byte.
    """
    old, new = _find_text(before, start), _find_text(after, start)
    if min(len(old), len(new)) >= 4:
        yield from find_text_causes(old, new)
    elif end - start <= 4:
        at = start - (base + start) % 4
        words = before[max(at, 0) : at + 4], after[max(at, 0) : at + 4]
        if end <= at + 4 and all(len(word) == 4 for word in words):
            yield from _find_times(*words)


def format_time(seconds: int) -> str:
    """Returns a time in UTC, as in `2026-01-31 12:00:00`, or the number if it is out of range."""
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _find_text(data: bytes, at: int) -> str:
    """Returns the printable ASCII characters around an offset."""
    if not 0 <= at < len(data) or not 0x20 <= data[at] <= 0x7E:
        return ""
    first = last = at
    while first > 0 and 0x20 <= data[first - 1] <= 0x7E:
        first -= 1
    while last < len(data) and 0x20 <= data[last] <= 0x7E:
        last += 1
    return data[first:last].decode("ascii")


def _find_times(before: bytes, after: bytes) -> Iterator[str]:
    """Yields a cause if two words look like seconds since 1970."""
    for order in ("little", "big"):
        old, new = int.from_bytes(before, order), int.from_bytes(after, order)
        if all(_EARLIEST <= value <= _LATEST for value in (old, new)) and abs(old - new) < _NEAR:
            yield f"perhaps a timestamp: {format_time(old)} -> {format_time(new)}"
            return
