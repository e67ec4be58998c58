"""Compares data of an unknown format: which bytes differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from rules_setcap.diagnostics import limits
from rules_setcap.diff.content.files import CHUNK, find_size
from rules_setcap.diff.content.findings import Findings, count
from rules_setcap.diff.content.guesses import find_data_causes

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 1 << 16
_NONZERO = bytes([0] + [1] * 255)
_SHOWN = 4  # Ranges with their bytes.
_AROUND = 256  # Bytes around a range that are searched for its cause.
_ROW = 16  # Bytes of a row of a hexdump.


@dataclass(slots=True)
class Ranges:
    """Where two streams differ, as far as both have bytes.

    Attributes:
      differing: the number of bytes that differ.
      ranges: the number of their ranges.
      listed: the offset and the length of the first ranges.
      compared: the number of bytes that were compared.
      extra: the number of bytes that only one stream has: negative for the first, positive for the second.
      complete: whether all bytes were compared.
      open_end: the end of the last range if it may continue in the next block, else -1.
    """

    differing: int = 0
    ranges: int = 0
    listed: list[tuple[int, int]] = field(default_factory=list)
    compared: int = 0
    extra: int = 0
    complete: bool = True
    open_end: int = -1

    @property
    def equal(self) -> bool:
        """Returns whether the streams are equal."""
        return not self.differing and not self.extra and self.complete

    @property
    def first(self) -> int:
        """Returns the offset of the first byte that differs."""
        return self.listed[0][0] if self.listed else self.compared

    def add_block(self, offset: int, before: bytes, after: bytes) -> None:
        """Adds two different blocks of equal length."""
        size = len(before)
        mask = _find_differing(before, after)
        self.differing += mask.count(b"\1")
        at = mask.find(b"\1")
        if at == 0 and self.open_end == offset:  # The last range continues.
            at = _find_end(mask, 0)
            if self.ranges == len(self.listed):
                start, length = self.listed.pop()
                self.listed.append((start, length + at))
            self.ranges -= 1
            at = mask.find(b"\1", at)
        self.ranges += mask.count(b"\0\1") + mask[0]
        while at >= 0 and len(self.listed) < limits.CONTENT_RANGES:
            end = _find_end(mask, at)
            self.listed.append((offset + at, end - at))
            at = mask.find(b"\1", end)
        self.open_end = offset + size if mask[-1] else -1


def _find_end(mask: bytes, at: int) -> int:
    """Returns where the range at an offset of a mask ends."""
    end = mask.find(b"\0", at)
    return len(mask) if end < 0 else end


def _find_differing(before: bytes, after: bytes) -> bytes:
    """Returns a byte for each byte of two pieces, as far as both have it: 1 if they differ there, else 0."""
    size = min(len(before), len(after))
    xor = int.from_bytes(before[:size], "little") ^ int.from_bytes(after[:size], "little")
    return xor.to_bytes(size, "little").translate(_NONZERO)


def compare_streams(before: Any, after: Any) -> Ranges:
    """Compares two streams byte by byte, up to limits.CONTENT_DIFFERING bytes of blocks that differ.

    Args:
      before: an object with read(size), which returns fewer bytes only at the end.
      after: the other one.
    """
    ranges = Ranges()
    examined = 0
    while True:
        old, new = before.read(CHUNK), after.read(CHUNK)
        common = min(len(old), len(new))
        if old != new:
            for at in range(0, common, _BLOCK):
                end = min(at + _BLOCK, common)
                if old[at:end] != new[at:end]:
                    ranges.add_block(ranges.compared + at, old[at:end], new[at:end])
                    examined += end - at
        ranges.compared += common
        if len(old) != len(new):
            longer = before if len(old) > len(new) else after
            extra = abs(len(old) - len(new))
            while data := longer.read(CHUNK):
                extra += len(data)
            ranges.extra = -extra if longer is before else extra
            return ranges
        if not old:
            return ranges
        if examined > limits.CONTENT_DIFFERING:
            ranges.complete = False
            return ranges


def are_equal(before: Any, after: Any) -> bool:
    """Returns whether two streams are equal; the arguments are those of compare_streams()."""
    while True:
        old, new = before.read(CHUNK), after.read(CHUNK)
        if old != new:
            return False
        if not old:
            return True


def compare_data(before: BinaryIO, after: BinaryIO, kind: str = "data") -> Findings:
    """Compares two seekable files.

    Args:
      before: the first file.
      after: the second file.
      kind: the type of both files.
    """
    findings = Findings(kind)
    sizes = find_size(before), find_size(after)
    before.seek(0)
    after.seek(0)
    ranges = compare_streams(before, after)
    if ranges.equal:
        findings.add("equal")
        return findings
    inserted = _describe_insertion(before, after, sizes, ranges.first) if sizes[0] != sizes[1] else ""
    findings.add(inserted or describe_ranges(ranges))
    if sizes[0] != sizes[1]:
        findings.add_details([f"size: {sizes[0]:,} -> {count(sizes[1], 'byte')}"])
    if inserted:
        findings.add_details(_dump(before, after, ranges.first))
        findings.add_causes(_find_causes(before, after, ranges.first, 1))
        return findings
    shown_to = -1
    for start, length in ranges.listed:
        findings.add_causes(_find_causes(before, after, start, length))
    for start, _ in [pair for pair in ranges.listed if pair[0] >= 0][:_SHOWN]:
        if start >= shown_to:
            findings.add_details(_dump(before, after, start))
            shown_to = start - start % _ROW + _ROW
    return findings


def describe_ranges(ranges: Ranges) -> str:
    """Returns a summary of where two streams differ."""
    if not ranges.differing and ranges.extra:
        which = "second" if ranges.extra > 0 else "first"
        return f"the {which} file has {count(abs(ranges.extra), 'byte')} more at its end"
    least = "" if ranges.complete else "at least "
    where = f"at byte {ranges.first:,}"
    if ranges.ranges > 1:
        where = f"in {count(ranges.ranges, 'range')}, the first {where}"
    text = f"{least}{count(ranges.differing, 'byte')} {'differs' if ranges.differing == 1 else 'differ'} {where}"
    if ranges.extra:
        text += f"; the {'second' if ranges.extra > 0 else 'first'} file is longer by {count(abs(ranges.extra), 'byte')}"
    return text


def _describe_insertion(before: BinaryIO, after: BinaryIO, sizes: tuple[int, int], first: int) -> str:
    """Returns a summary if one file is the other one with bytes inserted or replaced at one place; else "".

    Args:
      before: the first file.
      after: the second file.
      sizes: their sizes in bytes.
      first: the offset of the first byte that differs.
    """
    if first == min(sizes):
        return ""
    most = min(sizes) - first
    suffix = 0
    while suffix < most:
        step = min(_BLOCK, most - suffix)
        old, new = (_read_at(file, size - suffix - step, step) for file, size in zip((before, after), sizes, strict=True))
        if len(old) != len(new) or old != new:
            suffix += min(len(old), len(new)) - 1 - _find_differing(old, new).rfind(b"\1")
            break
        suffix += step
    if not suffix or suffix * 2 < most:
        return ""
    old_size, new_size = (size - first - suffix for size in sizes)
    if not old_size:
        return f"{count(new_size, 'byte')} inserted at byte {first:,}"
    if not new_size:
        return f"{count(old_size, 'byte')} removed at byte {first:,}"
    return f"{old_size:,} -> {count(new_size, 'byte')} at byte {first:,}; the rest is equal"


def _dump(before: BinaryIO, after: BinaryIO, offset: int) -> Iterator[str]:
    """Yields a row of a hexdump of each file."""
    start = offset - offset % _ROW
    for sign, file in (("-", before), ("+", after)):
        row = _read_at(file, start, _ROW)
        text = "".join(chr(byte) if 0x20 <= byte <= 0x7E else "." for byte in row)
        yield f"{sign} {start:08x}  {row.hex(' '):<47}  {text}"


def _find_causes(before: BinaryIO, after: BinaryIO, start: int, length: int) -> Iterator[str]:
    """Yields the causes of the difference in a range."""
    base = max(start - _AROUND, 0)
    size = start - base + min(length, _AROUND) + _AROUND
    at = start - base
    yield from find_data_causes(_read_at(before, base, size), _read_at(after, base, size), at, at + length, base)


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
