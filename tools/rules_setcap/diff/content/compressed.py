"""Compares compressed files: the header of the format, and what is inside."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.decompress import DecompressedStream, DecompressionError
from rules_setcap.diagnostics.errors import escape
from rules_setcap.diff.content.data import are_equal, compare_streams, describe_ranges
from rules_setcap.diff.content.files import CountedStream, copy_stream, find_size, open_window
from rules_setcap.diff.content.findings import ContentError, Context, Findings, cut
from rules_setcap.diff.content.guesses import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = 1 << 10  # Bytes of a header, with names.
_SUFFIXES = (".gz", ".tgz", ".zst", ".xz", ".txz", ".bz2", ".svgz")
# RFC 1952, section 2.3.1.
_SYSTEMS = {0: "FAT", 3: "Unix", 7: "Macintosh", 10: "TOPS-20", 11: "NTFS", 255: "unknown"}
_LEVELS = {0: "default", 2: "best", 4: "fastest"}
_XZ_CHECKS = {0: "none", 1: "CRC32", 4: "CRC64", 10: "SHA-256"}


def compare_compressed(name: str, before: BinaryIO, after: BinaryIO, context: Context) -> Findings:
    """Compares two compressed files.

    Raises:
      ContentError: one of them is damaged, or has too much inside.
    """
    codecs = [_open(file).codec for file in (before, after)]
    findings = Findings(codecs[0] if codecs[0] == codecs[1] else f"{codecs[0]} -> {codecs[1]}")
    try:
        ranges = compare_streams(CountedStream(_open(before), context.budget), CountedStream(_open(after), context.budget))
        if not ranges.equal:
            findings.add(f"the content differs: {describe_ranges(ranges)}")
            _compare_inside(findings, name, before, after, context)
    except DecompressionError as error:
        raise ContentError(str(error)) from None
    fields = _compare_headers(findings, codecs[0], before, after) if codecs[0] == codecs[1] else []
    if ranges.equal and fields and _are_equal_after_header(before, after):
        findings.add(f"only the header differs: {', '.join(fields)}; the content is equal")
    elif ranges.equal:
        findings.add("only the compression differs; the content is equal")
        how = "another level or another program" if codecs[0] == codecs[1] else f"{codecs[0]} -> {codecs[1]}"
        findings.add_causes([f"compression: {how}"])
    elif fields:
        findings.add(f"header fields: {', '.join(fields)}")
    return findings


def _open(file: BinaryIO) -> DecompressedStream:
    """Returns the stream of a file, from its start.

    Raises:
      ContentError: its codec cannot be read.
    """
    size = find_size(file)
    file.seek(0)
    try:
        return DecompressedStream(file, ReadBudget(size, copies=True))
    except DecompressionError as error:
        raise ContentError(str(error)) from None


def _compare_inside(findings: Findings, name: str, before: BinaryIO, after: BinaryIO, context: Context) -> None:
    """Adds the difference of the contents by what they are, unless they are large."""
    if context.depth <= 0:
        return
    with (
        copy_stream(CountedStream(_open(before), context.budget)) as old,
        copy_stream(CountedStream(_open(after), context.budget)) as new,
    ):
        if old and new:
            difference = context.compare_inside(
                name.removesuffix(os.path.splitext(name)[1]) if name.endswith(_SUFFIXES) else name, old, new
            )
            findings.summaries[-1] = f"the content differs: {difference.type}: {difference.summary}"
            findings.add_details(difference.details)
            findings.add_causes(difference.causes)


def _compare_headers(findings: Findings, codec: str, before: BinaryIO, after: BinaryIO) -> list[str]:
    """Adds the fields of the headers that differ, and returns their names."""
    read = {"gzip": _read_gzip, "zstd": _read_zstd, "xz": _read_xz}.get(codec)
    if not read:
        return []
    old, new = (dict(read(open_window(file, 0, _HEADER).read(_HEADER))) for file in (before, after))
    names = []
    for field in dict.fromkeys([*old, *new]):
        values = old.get(field, "none"), new.get(field, "none")
        if values[0] != values[1]:
            names.append(field)
            findings.add_details([f"{field} in the {codec} header: {values[0]} -> {values[1]}"])
            cause = "timestamp" if field == "time" else field
            findings.add_causes([f"{cause}: in the {codec} header, {values[0]} -> {values[1]}"])
    return names


def _are_equal_after_header(before: BinaryIO, after: BinaryIO) -> bool:
    """Returns whether two files are equal from the end of their gzip headers on."""
    sizes = [_measure_gzip_header(open_window(file, 0, _HEADER).read(_HEADER)) for file in (before, after)]
    windows = (open_window(file, size, find_size(file)) for file, size in zip((before, after), sizes, strict=True))
    return all(sizes) and are_equal(*windows)


def _measure_gzip_header(head: bytes) -> int:
    """Returns the size of a gzip header in bytes; 0 if it is not one, or longer than `head`."""
    if head[:2] != b"\x1f\x8b" or len(head) < 10:
        return 0
    at = 10
    if head[3] & 4:
        at += 2 + int.from_bytes(head[at : at + 2], "little")
    for flag in (8, 16):
        if head[3] & flag:
            at = head.find(b"\0", at) + 1
            if not at:
                return 0
    return at + (2 if head[3] & 2 else 0)


def _read_gzip(head: bytes) -> Iterator[tuple[str, str]]:
    """Yields the fields of the header of the first gzip member (RFC 1952)."""
    if len(head) < 10:
        return
    flags, seconds = head[3], int.from_bytes(head[4:8], "little")
    yield "time", format_time(seconds) if seconds else "none"
    yield "level", _LEVELS.get(head[8], str(head[8]))
    yield "system", _SYSTEMS.get(head[9], str(head[9]))
    at = 10
    if flags & 4:
        size = int.from_bytes(head[at : at + 2], "little")
        yield "extra field", cut(head[at + 2 : at + 2 + size].hex(), 60)
        at += 2 + size
    for flag, name in ((8, "file name"), (16, "comment")):
        if flags & flag:
            text, _, _ = head[at:].partition(b"\0")
            yield name, cut(escape(text.decode("latin-1")), 100)
            at += len(text) + 1


def _read_zstd(head: bytes) -> Iterator[tuple[str, str]]:
    """Yields the fields of the header of the first zstd frame (RFC 8878, 3.1.1.1)."""
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        return
    descriptor = head[4]
    yield "checksum", "yes" if descriptor & 4 else "no"
    yield "content size", "yes" if descriptor >> 6 or descriptor & 0x20 else "no"
    if not descriptor & 0x20:
        base = 1 << (10 + (head[5] >> 3))
        yield "window", f"{base + (base // 8) * (head[5] & 7)} bytes"


def _read_xz(head: bytes) -> Iterator[tuple[str, str]]:
    """Yields the fields of the header of an xz stream (The .xz File Format, 2.1.1)."""
    if len(head) >= 8:
        yield "check", _XZ_CHECKS.get(head[7] & 15, str(head[7] & 15))
