"""Checks the maps of GNU tar's sparse files. A map says where in a file the pieces of data belong that the archive holds.

There are four formats: the old one of GNU tar (type S), and 0.0, 0.1 and 1.0 in pax records ("GNU tar: Storing Sparse
Files"). The rules are those of Go's archive/tar (reader.go, handleSparseFile), which returns an error for a file whose map is
not valid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.archive import pax
from rules_setcap.archive.headers import HeaderError, parse_number, quote_bytes
from rules_setcap.archive.tar import BLOCK
from rules_setcap.diagnostics import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PREFIX = b"GNU.sparse."


def is_sparse(records: Mapping[bytes, bytes]) -> bool:
    """Returns whether pax records describe a sparse file."""
    return any(name.startswith(_PREFIX) for name in records)


def read_map_blocks(block: bytes, take: Callable[[], bytes]) -> bytes:
    """Reads the further blocks of the map of a file in GNU tar's old format.

    Args:
      block: the header.
      take: a function that returns the next block.

    Raises:
      HeaderError: there are too many blocks (limits.SPARSE_BLOCKS).
    """
    blocks: list[bytes] = []
    more = block[482]
    while more:
        if len(blocks) == limits.SPARSE_BLOCKS:
            raise HeaderError(f"the map of a sparse file has more than {limits.SPARSE_BLOCKS} blocks")
        blocks.append(take())
        more = blocks[-1][504]
    return b"".join(blocks)


def check_block_map(header: bytes, stored: int) -> None:
    """Checks the map of a file in GNU tar's old format.

    Args:
      header: the header, with the further blocks of the map.
      stored: the size of the content in the archive in bytes.

    Raises:
      HeaderError: the map is not valid.
    """
    numbers: list[int] = []
    areas = [header[386:482]] + [header[at : at + 504] for at in range(BLOCK, len(header), BLOCK)]
    for area in areas:
        for at in range(0, len(area), 24):
            if not area[at]:
                break
            numbers.extend(_check_number(parse_number(field), field) for field in (area[at : at + 12], area[at + 12 : at + 24]))
    _check_pieces(numbers, _check_number(parse_number(header[483:495]), header[483:495]), stored)


def check_record_map(records: Mapping[bytes, bytes], stored: int, take: Callable[[], bytes]) -> bytes:
    """Checks the map of a file in one of the pax formats.

    Args:
      records: the pax records of the member.
      stored: the size of the content in the archive in bytes.
      take: a function that returns the next block of the content.

    Returns:
      The blocks that it took from the content.

    Raises:
      HeaderError: the map is not valid, or its format is unknown.
    """
    version = records.get(b"GNU.sparse.major", b""), records.get(b"GNU.sparse.minor", b"")
    sizes = {records[name] for name in (b"GNU.sparse.size", b"GNU.sparse.realsize") if name in records}
    if len(sizes) > 1:
        raise HeaderError("records GNU.sparse.size and GNU.sparse.realsize have different values")
    size = _parse_decimal(sizes.pop()) if sizes else stored
    if version == (b"1", b"0"):
        if b"GNU.sparse.size" in records:
            raise HeaderError(
                "record GNU.sparse.size of a sparse file of format 1.0, which bsdtar takes for the size of its content"
            )
        head, numbers = _read_map(stored, take)
        _check_pieces(numbers, size, stored - len(head))
        return head
    text = records.get(pax.SPARSE_MAP, b"")
    if version not in ((b"0", b"0"), (b"0", b"1")) and not (version == (b"", b"") and text):
        raise HeaderError("its GNU.sparse records are of no known format of sparse files")
    numbers = [_parse_decimal(word) for word in text.split(b",")] if text else []
    if len(numbers) != 2 * _parse_decimal(records.get(b"GNU.sparse.numblocks", b"")):
        raise HeaderError("record GNU.sparse.numblocks is not the number of pieces of the sparse file")
    _check_pieces(numbers, size, stored)
    return b""


def _read_map(stored: int, take: Callable[[], bytes]) -> tuple[bytes, list[int]]:
    """Reads the map of format 1.0 at the start of the content.

    The map is lines of numbers: the number of pieces, then the offset and the length of each piece.

    Returns:
      The blocks of the map, and the offsets and lengths.
    """
    blocks: list[bytes] = []
    lines, expected_lines = 0, 1
    while lines < expected_lines:
        if (len(blocks) + 1) * BLOCK > min(stored, limits.EXTENSION):
            raise HeaderError("the map of a sparse file has no end")
        blocks.append(take())
        count = blocks[-1].count(b"\n")
        if count and not lines:
            expected_lines += 2 * _parse_decimal(b"".join(blocks).partition(b"\n")[0])
        lines += count
    head = b"".join(blocks)
    return head, [_parse_decimal(word) for word in head.split(b"\n")[1:expected_lines]]


def _check_pieces(numbers: Sequence[int], size: int, stored: int) -> None:
    """Checks that the pieces are in order, within the file, and as long as the content.

    Args:
      numbers: offset and length of each piece, in bytes.
      size: the size of the file in bytes.
      stored: the size of the content in the archive in bytes.
    """
    end = 0
    for offset, length in zip(numbers[::2], numbers[1::2], strict=True):
        if offset < end or offset + length > size:
            raise HeaderError("the map of a sparse file has pieces that overlap, or are outside of the file")
        end = offset + length
    if sum(numbers[1::2]) != stored or size >= 1 << 63:
        raise HeaderError("the pieces of a sparse file are not as long as its content")


def _parse_decimal(word: bytes) -> int:
    return _check_number(int(word) if word.isdigit() and len(word) <= 19 else None, word)


def _check_number(value: int | None, field: bytes) -> int:
    """Returns a number if it is valid and not negative; `field` is for the message."""
    if value is None or value < 0:
        raise HeaderError(f"{quote_bytes(field)} in the map of a sparse file is not a valid number")
    return value
