"""Compares texts by their lines."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, BinaryIO

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import printable
from rules_setcap.diff.content.data import compare_streams
from rules_setcap.diff.content.files import CHUNK, find_size, open_window
from rules_setcap.diff.content.findings import ContentError, Context, Findings, count
from rules_setcap.diff.content.guesses import find_text_causes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HEAD = 1 << 16  # Bytes by which a text is recognized.
# Controls that texts have: tab, line feed, vertical tab, form feed, carriage return, escape.
_CONTROLS = bytes(set(range(32)) - {9, 10, 11, 12, 13, 27}) + b"\x7f"
_BOMS = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_LINES = 400  # Lines of each file that are compared: difflib takes time for the square of this.
_CONTEXT = 1
_WIDTH = 160  # Characters of a line that are shown.
_SHOWN = 24  # Lines of the diff.
_BEFORE = 60  # Characters of a long line before the difference.
_PIECE = 1 << 18  # Bytes of a long text from the first difference on.


def find_encoding(file: BinaryIO) -> str:
    """Returns the encoding of a text, by its start: "utf-8", "utf-16-le", "utf-16-be" or "latin-1"; "" if it is not text."""
    file.seek(0)
    head = file.read(_HEAD)
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            text = head[: len(head) // 2 * 2].decode(encoding, "replace")
            return "" if any(ord(character) < 32 and character not in "\t\n\r\f" for character in text) else encoding
    if not head or head.translate(None, _CONTROLS) != head:
        return ""
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3 or len(head) < _HEAD:
            # latin-1 has controls from 0x80 to 0x9f, which no text has; mostly letters, or it is data.
            if any(0x80 <= byte < 0xA0 for byte in head) or sum(byte >= 0xA0 for byte in head) * 3 > len(head):
                return ""
            return "latin-1"
    return "utf-8"


def compare_text(_name: str, before: BinaryIO, after: BinaryIO, _context: Context) -> Findings:
    """Compares two texts.

    Raises:
      ContentError: one of them is not text.
    """
    encodings = [find_encoding(file) for file in (before, after)]
    if "" in encodings:
        raise ContentError("not text")
    findings = Findings("text" if encodings == ["utf-8"] * 2 else f"text ({' -> '.join(dict.fromkeys(encodings))})")
    number, whole = 0, max(find_size(before), find_size(after)) <= limits.CONTENT_TEXT
    if whole:
        texts = [_read(file, 0, limits.CONTENT_TEXT, encoding) for file, encoding in zip((before, after), encodings, strict=True)]
        findings.add_causes(_explain_texts(texts[0], texts[1], encodings))
        old, new = (text.splitlines() for text in texts)
    else:
        if any(encoding.startswith("utf-16") for encoding in encodings):
            raise ContentError("a large text in UTF-16")
        start, number = _find_first_line(before, after)
        old, new = (
            _read(file, start, _PIECE, encoding).splitlines() for file, encoding in zip((before, after), encodings, strict=True)
        )
    same = max(_find_first_item(old, new) - _CONTEXT, 0)
    _add_changes(findings, old[same:], new[same:], number + same, whole)
    return findings


def _explain_texts(before: str, after: str, encodings: list[str]) -> Iterator[str]:
    """Yields causes of a difference of whole texts."""
    if before == after:
        yield f"encoding: {encodings[0]} -> {encodings[1]}"
        return
    ends = ["CRLF" if "\r\n" in text else "LF" for text in (before, after)]
    lines = [text.splitlines() for text in (before, after)]
    if lines[0] == lines[1]:
        yield f"line ends: {ends[0]} -> {ends[1]}" if ends[0] != ends[1] else "line ends: only the last line's end differs"
    elif before.split() == after.split():
        yield "white space: only white space differs"
    elif sorted(lines[0]) == sorted(lines[1]):
        yield "order of lines: the same lines in another order"
    elif before.lstrip()[:1] in ("{", "[") and _are_equal_json(before, after):
        yield "order of keys: the same JSON value, written differently"


def _are_equal_json(before: str, after: str) -> bool:
    """Returns whether two texts are the same JSON value."""
    try:
        return bool(json.loads(before) == json.loads(after))
    except (ValueError, RecursionError):
        return False


def _add_changes(findings: Findings, old: list[str], new: list[str], number: int, whole: bool) -> None:
    """Adds the lines that differ.

    Args:
      findings: what they are added to.
      old: the lines of the first text, from shortly before the first that differs.
      new: those of the second text.
      number: the number of lines before them.
      whole: whether they reach to the end of the texts.
    """
    if old == new:
        findings.add(next(iter(findings.causes), "the same lines"))
        return
    if whole:
        end = _find_first_item(old[::-1], new[::-1]) - _CONTEXT
        if end > 0:
            old, new = old[:-end], new[:-end]
    whole = whole and max(len(old), len(new)) <= _LINES
    matcher = difflib.SequenceMatcher(None, old[:_LINES], new[:_LINES])
    lines: list[str] = []
    removed = added = 0
    seen: set[str] = set()
    for opcodes in matcher.get_grouped_opcodes(_CONTEXT):
        (_, first, _, other, _), (_, _, last, _, other_last) = opcodes[0], opcodes[-1]
        lines.append(f"@@ -{number + first + 1},{last - first} +{number + other + 1},{other_last - other} @@")
        for tag, start, end, new_start, new_end in opcodes:
            if tag == "equal":
                lines += [f"  {_cut(line, 0)}" for line in old[start:end]]
                continue
            removed, added = removed + end - start, added + new_end - new_start
            pairs = list(zip(old[start:end], new[new_start:new_end], strict=False))
            columns = [_find_first_item(*pair) for pair in pairs]
            for sign, changed in (("-", old[start:end]), ("+", new[new_start:new_end])):
                lines += [f"{sign} {_cut(line, columns[at] if at < len(columns) else 0)}" for at, line in enumerate(changed)]
            for pair, column in zip(pairs, columns, strict=True):
                for cause in find_text_causes(*(line[max(column - _BEFORE, 0) :] for line in pair)):
                    kind = cause.partition(":")[0]
                    if kind not in seen:
                        seen.add(kind)
                        findings.add_causes([cause])
    least = "" if whole else "at least "
    explained = [cause.partition(": ")[2] for cause in findings.causes if cause.startswith(("order", "white space"))]
    findings.add("; ".join([*explained, f"{least}{count(removed, 'line')} removed, {added:,} added"]))
    findings.add_details(lines[:_SHOWN])
    if len(lines) > _SHOWN:
        findings.add_details([f"... and {count(len(lines) - _SHOWN, 'more line')}"])
    if not whole:
        findings.add_details([f"only {_LINES} lines from the first difference on were compared"])


def _find_first_item(old: Sequence[str], new: Sequence[str]) -> int:
    """Returns the index of the first item that differs, of two texts or lists of lines."""
    return next((at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new)))


def _cut(line: str, column: int) -> str:
    """Returns a line, or the part of a long line around a column."""
    if len(line) <= _WIDTH:
        return printable(line)
    start = max(min(column - _BEFORE, len(line) - _WIDTH), 0)
    end = start + _WIDTH
    return f"{'...' if start else ''}{printable(line[start:end])}{'...' if end < len(line) else ''}"


def _find_first_line(before: BinaryIO, after: BinaryIO) -> tuple[int, int]:
    """Returns the offset of the first line that differs, at most _PIECE before the difference, and the number of lines before."""
    before.seek(0)
    after.seek(0)
    offset = number = 0
    while (old := before.read(CHUNK)) == after.read(CHUNK) and old:
        offset += len(old)
        number += old.count(b"\n")
    size = compare_streams(open_window(before, offset, CHUNK), open_window(after, offset, CHUNK)).first
    before.seek(offset)
    data = before.read(size)
    number += data.count(b"\n")
    start = max(offset + size - _PIECE // 2, 0)
    before.seek(start)
    line = before.read(offset + size - start).rfind(b"\n")
    return (start + line + 1, number) if line >= 0 else (offset + size, number)


def _read(file: BinaryIO, offset: int, size: int, encoding: str) -> str:
    """Returns a piece of a text, without its byte order mark."""
    file.seek(offset)
    return file.read(size).decode(encoding, "replace").removeprefix("\ufeff")
