"""Compares compiled Python files by their headers (PEP 552)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

from rules_setcap.diagnostics import limits
from rules_setcap.diff.content.data import compare_streams, describe_ranges
from rules_setcap.diff.content.files import find_size, open_window
from rules_setcap.diff.content.findings import Context, Findings
from rules_setcap.diff.content.guesses import PATH, find_text_causes, format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = 16
_FIRST, _LAST = 3390, 4000  # The magic numbers of Python 3.7 and of versions to come.
_BY_FORMULA = 3450  # Since Python 3.11, 3.n begins with 2900 + 50 n (CPython, Include/internal/pycore_magic_number.h).
_OLDER = ((3430, "3.10"), (3420, "3.9"), (3400, "3.8"), (3390, "3.7"))
_MODES = {0: "source time and size", 1: "source hash, unchecked", 3: "source hash, checked"}
_FLAG_REF = 0x80  # marshal sets it in the type of an object that more than one reference may lead to.
_PATH = re.compile(PATH.encode("ascii"))


def is_bytecode(start: bytes) -> bool:
    """Returns whether a file is compiled Python, from its first HEADER bytes."""
    magic = int.from_bytes(start[:2], "little")
    return (
        len(start) == HEADER
        and start[2:4] == b"\r\n"
        and _FIRST <= magic < _LAST
        and int.from_bytes(start[4:8], "little") in _MODES
    )


def compare_bytecode(_name: str, before: BinaryIO, after: BinaryIO, _context: Context) -> Findings:
    """Compares two compiled Python files. The code is not loaded, because it is not trusted."""
    findings = Findings("Python bytecode")
    sizes = [find_size(file) for file in (before, after)]
    heads = [open_window(file, 0, HEADER).read(HEADER) for file in (before, after)]
    versions = [_find_version(head) for head in heads]
    if heads[0][:2] != heads[1][:2]:
        findings.add("the Python version", f"version: {versions[0]} -> {versions[1]}")
        findings.add_causes([f"Python version: {versions[0]} -> {versions[1]}"])
    fields = [dict(_read_fields(head)) for head in heads]
    for field in dict.fromkeys([*fields[0], *fields[1]]):
        old, new = (values.get(field, "none") for values in fields)
        if old == new or (field != "invalidation" and fields[0]["invalidation"] != fields[1]["invalidation"]):
            continue
        findings.add(f"the {field}", f"{field}: {old} -> {new}")
        findings.add_causes([f"{'timestamp: ' if field == 'source time' else ''}{field}: {old} -> {new}"])
    windows = [open_window(file, HEADER, max(size - HEADER, 0)) for file, size in zip((before, after), sizes, strict=True)]
    ranges = compare_streams(*windows)
    if ranges.equal:
        findings.add("the code is equal")
        return findings
    findings.add(f"the code: {describe_ranges(ranges)}")
    codes = [open_window(file, HEADER, limits.CONTENT_STRINGS).read(-1) for file in (before, after)]
    findings.add_causes(_explain_code(codes[0], codes[1], max(sizes) <= limits.CONTENT_STRINGS))
    return findings


def _find_version(head: bytes) -> str:
    """Returns the Python version that a header is of."""
    magic = int.from_bytes(head[:2], "little")
    if magic >= _BY_FORMULA:
        return f"3.{(magic - 2900) // 50} (magic number {magic})"
    return next(f"{version} (magic number {magic})" for first, version in _OLDER if magic >= first)


def _read_fields(head: bytes) -> Iterator[tuple[str, str]]:
    """Yields the fields of a header after the magic number."""
    mode = int.from_bytes(head[4:8], "little")
    yield "invalidation", f"by {_MODES[mode]}"
    if mode:
        yield "source hash", head[8:16].hex()
    else:
        yield "source time", format_time(int.from_bytes(head[8:12], "little"))
        yield "source size", str(int.from_bytes(head[12:16], "little"))


def _explain_code(before: bytes, after: bytes, whole: bool) -> Iterator[str]:
    """Yields causes why two marshalled code objects differ.

    Args:
      before: the first code.
      after: the second code.
      whole: whether these are all bytes of both.
    """
    paths = [list(dict.fromkeys(_PATH.findall(code))) for code in (before, after)]
    changed = next(((old, new) for old, new in zip(*paths, strict=False) if old != new), None)
    if changed:
        yield from find_text_causes(*(path.decode("latin-1") for path in changed))
    if len(before) != len(after) or not whole:
        return
    if all(old == new or old ^ new == _FLAG_REF for old, new in zip(before, after, strict=True)):
        yield "reference counts: marshal marks objects that are referenced more than once, and that depends on the process"
    elif sorted(before) == sorted(after):
        yield "order: the same bytes in another order, as of a set whose order depends on PYTHONHASHSEED"
