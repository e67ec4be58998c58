"""Parses the 512-byte headers of tar(5).

The formats are v7, ustar, pax, and those of GNU tar and star. The reference is the reader of Go's archive/tar (reader.go,
strconv.go), which containerd, Docker, umoci and podman use. A header is invalid if a field does not have the form that
programs write, or if other readers read it differently from Go.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from rules_setcap.archive.tar import BLOCK
from rules_setcap.diagnostics.errors import quote

USTAR, GNU = b"ustar\0", b"ustar  \0"
_STAR = b"tar\0"
# Fields by their offset after the checksum field, which ends at byte 156.
_DEVICES = (("devmajor", 173, 181), ("devminor", 181, 189))
_REAL_SIZE = 327
_STAR_TIMES = (("atime", 320, 332), ("ctime", 332, 344))
_GNU_TIMES = (("atime", 189, 201), ("ctime", 201, 213))
MAX_ID = 0xFFFFFFFE
"""The greatest uid and gid: uid_t has 32 bits, and the largest number means "unchanged" to chown(2)."""
MAX_SIZE = (1 << 63) - BLOCK
_STARGZ_INDEX = b"stargz.index.json"
"""The name of the table of contents of an eStargz layer (estargz.md of stargz-snapshotter)."""
_SPACES = 8 * ord(" ")  # The checksum counts its own field as eight spaces.
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*").fullmatch


class TarError(ValueError):
    """An archive that is damaged, or that programs read in different ways; the message names the byte."""


class HeaderError(TarError):
    """A header that is not valid, or that programs read in different ways; the reader adds the byte to the message."""


class Header(NamedTuple):
    """The fields of a header.

    Attributes:
      kind: the type flag, one byte.
      name: the name with its prefix, without padding.
      link: the target of a link, without padding.
      mode, uid, gid, size: the numbers.
      is_gnu: whether the header has the magic of GNU tar.
    """

    kind: bytes
    name: bytes
    link: bytes
    mode: int
    uid: int
    gid: int
    size: int
    is_gnu: bool


def parse_header(block: bytes) -> Header:
    """Parses a header.

    Args:
      block: 512 bytes, not all zero.

    Raises:
      HeaderError: a field is not valid.
    """
    _verify_checksum(block)
    size = _parse_field("size", block[124:136])
    if not 0 <= size <= MAX_SIZE:
        check_range("size", size, MAX_SIZE)
    # AIX writes a NUL too many after the size.
    _parse_field("mtime", block[136:148] if block[136] else b"0" + block[137:148])
    kind, prefix, link, mode, uid, gid, is_gnu = _parse_common(block[100:124], block[156:])
    name = block[:100].partition(b"\0")[0]
    return Header(kind, prefix + b"/" + name if prefix else name, link, mode, uid, gid, size, is_gnu)


def read_stargz_index_size(block: bytes) -> int:
    """Returns the size of the table of contents of an eStargz layer from its header; 0 for any other block.

    BuildKit writes it after the end of the archive, so that engines do not see it.
    """
    if len(block) < BLOCK or not block.startswith(_STARGZ_INDEX):
        return 0
    try:
        header = parse_header(block)
    except HeaderError:
        return 0
    return header.size if (header.kind, header.name) == (b"0", _STARGZ_INDEX) else 0


@functools.lru_cache(256)  # The members of an archive share most of these fields.
def _parse_common(numbers: bytes, rest: bytes) -> tuple[bytes, bytes, bytes, int, int, int, bool]:
    """Parses the fields between name and size, and the fields after the checksum.

    Returns:
      Kind, prefix, link, mode, uid, gid and is_gnu, as in Header.
    """
    magic = rest[101:109]
    prefix, is_gnu = b"", magic == GNU
    if magic[:6] == USTAR:
        prefix = _parse_star_prefix(rest) if rest[352:] == _STAR else cut_at_nul(rest[189:344])
    elif is_gnu:
        # Go reads an invalid time as a prefix, which GNU tar does not write.
        for field, start, end in _GNU_TIMES:
            if rest[start]:
                _parse_field(field, rest[start:end])
        if rest[_REAL_SIZE] and rest[:1] != b"S":
            raise HeaderError("the size of a sparse file in the header of another entry, which bsdtar takes for its size")
    elif magic[:5] == USTAR[:5]:
        raise HeaderError(f"magic {quote_bytes(magic)} is neither ustar's nor GNU tar's")
    if is_gnu or magic[:6] == USTAR:
        for field, start, end in _DEVICES:
            _parse_field(field, rest[start:end])
    mode = check_range("mode", _parse_field("mode", numbers[:8]), MAX_SIZE)
    uid = check_range("uid", _parse_field("uid", numbers[8:16]), MAX_ID)
    gid = check_range("gid", _parse_field("gid", numbers[16:]), MAX_ID)
    return rest[:1], prefix, cut_at_nul(rest[1:101]), mode, uid, gid, is_gnu


def check_range(field: str, value: int, maximum: int) -> int:
    """Returns a number if it is from 0 to a maximum.

    Raises:
      HeaderError: it is out of range.
    """
    if not 0 <= value <= maximum:
        raise HeaderError(f"{field} {value} is out of range (0 to {maximum})")
    return value


def cut_at_nul(field: bytes) -> bytes:
    """Returns the part of a text field that counts, which ends at the first NUL."""
    return field.partition(b"\0")[0]


def quote_bytes(value: bytes) -> str:
    """Returns bytes as a quoted text for a message."""
    return quote(value[:200].decode("utf-8", "backslashreplace"))


def parse_number(field: bytes) -> int | None:
    """Returns the number in a field: octal with padding, or GNU tar's base 256; None if it is neither."""
    if octal := _OCTAL(field):
        return int(octal[1] or b"0", 8)
    if field[0] not in (0x80, 0xFF):  # 0xff is the sign of a negative number.
        return None
    value = int.from_bytes(field[1:], "big") - (1 << 8 * (len(field) - 1) if field[0] == 0xFF else 0)
    return value if -1 << 63 <= value < 1 << 63 else None


def _parse_field(name: str, field: bytes) -> int:
    """Returns the number in a field.

    Raises:
      HeaderError: the field is not a number; the message has `name`.
    """
    value = parse_number(field)
    if value is None:
        raise HeaderError(f"{name} {quote(field.decode('latin-1'))} is not a valid octal number")
    return value


def _parse_star_prefix(rest: bytes) -> bytes:
    """Returns the prefix in a header of star's format, in which times follow it."""
    for field, start, end in _STAR_TIMES:
        _parse_field(field, rest[start:end])
    if rest[319]:
        raise HeaderError("star's prefix has no NUL at its end")
    return cut_at_nul(rest[189:320])


def _verify_checksum(block: bytes) -> None:
    digits = _OCTAL(block[148:156])
    expected = int(digits[1], 8) if digits and digits[1] else -1
    total = sum(block[:148]) + _SPACES + sum(block[156:])
    # Some old programs add signed bytes.
    if expected != total and expected != total - 256 * sum(byte > 127 for byte in block[:148] + block[156:]):
        raise HeaderError("the checksum is wrong: the archive is damaged, or not a tar")
