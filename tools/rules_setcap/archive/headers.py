"""Parses the 512-byte headers of tar(5).

The formats are v7, ustar, pax, GNU tar's and star's. The reference is the reader of Go's
archive/tar (reader.go, strconv.go), which containerd, Docker, umoci and podman use. A field
that is not in the form that programs write, or that other readers read in another way than
Go, makes the header invalid.
"""

from __future__ import annotations

import functools
import re
from collections import namedtuple

from rules_setcap.archive.tar import BLOCK
from rules_setcap.diagnostics.errors import quote

Header = namedtuple("Header", ("kind", "name", "link", "mode", "uid", "gid", "size", "gnu"))
"""A header.

kind: bytes, the type flag. name, link: bytes, without padding; the name with its prefix. mode, uid, gid, size: int.
gnu: bool, whether the header is in GNU tar's own format.
"""

USTAR, GNU = b"ustar\0", b"ustar  \0"
_STAR = b"tar\0"
# Fields by their place after the checksum, which ends at byte 156.
_DEVICES = (("devmajor", 173, 181), ("devminor", 181, 189))
_REAL_SIZE = 327
_STAR_TIMES = (("atime", 320, 332), ("ctime", 332, 344))
_GNU_TIMES = (("atime", 189, 201), ("ctime", 201, 213))
MAX_ID = 0xFFFFFFFE
"""uid_t has 32 bits, and chown(2) takes the largest number for "unchanged"."""
MAX_SIZE = (1 << 63) - BLOCK
_SPACES = 8 * ord(" ")  # What the checksum counts for itself.
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*").fullmatch


class ArchiveError(ValueError):
    """An archive that is damaged, or that programs read in different ways; the message says at which byte."""


class HeaderError(ArchiveError):
    """A header that is not valid, or that programs read in different ways; the reader knows at which byte."""


def parse(block: bytes) -> Header:
    """Parses a header.

    Args:
      block: 512 bytes, not all zero.

    Raises:
      HeaderError: a field is not valid.
    """
    _verify_checksum(block)
    size = _number("size", block[124:136])
    if not 0 <= size <= MAX_SIZE:
        in_range("size", size, MAX_SIZE)
    # AIX ends the size with a NUL too many.
    _number("mtime", block[136:148] if block[136] else b"0" + block[137:148])
    kind, prefix, link, mode, uid, gid, gnu = _parse_common(block[100:124], block[156:])
    name = block[:100].partition(b"\0")[0]
    return Header(kind, prefix + b"/" + name if prefix else name, link, mode, uid, gid, size, gnu)


@functools.lru_cache(256)  # Entries of an archive share most of these fields.
def _parse_common(numbers: bytes, rest: bytes) -> tuple[bytes, bytes, bytes, int, int, int, bool]:
    """Parses the fields between name and size, and those after the checksum.

    Returns:
      Type, prefix, target of a link, mode, user, group, and whether the format is GNU tar's.
    """
    magic = rest[101:109]
    prefix, gnu = b"", magic == GNU
    if magic[:6] == USTAR:
        prefix = _star_prefix(rest) if rest[352:] == _STAR else text(rest[189:344])
    elif gnu:
        # Go takes what is not a valid time for a prefix, which GNU tar does not write.
        for field, start, end in _GNU_TIMES:
            if rest[start]:
                _number(field, rest[start:end])
        if rest[_REAL_SIZE] and rest[:1] != b"S":
            raise HeaderError("the size of a sparse file in the header of another entry, which bsdtar takes for its size")
    elif magic[:5] == USTAR[:5]:
        raise HeaderError(f"magic {show(magic)} is neither ustar's nor GNU tar's")
    if gnu or magic[:6] == USTAR:
        for field, start, end in _DEVICES:
            _number(field, rest[start:end])
    mode = in_range("mode", _number("mode", numbers[:8]), MAX_SIZE)
    uid = in_range("uid", _number("uid", numbers[8:16]), MAX_ID)
    gid = in_range("gid", _number("gid", numbers[16:]), MAX_ID)
    return rest[:1], prefix, text(rest[1:101]), mode, uid, gid, gnu


def in_range(field: str, value: int, maximum: int) -> int:
    """Returns a number from 0 to a maximum.

    Raises:
      HeaderError: it is out of range.
    """
    if not 0 <= value <= maximum:
        raise HeaderError(f"{field} {value} is out of range (0 to {maximum})")
    return value


def text(field: bytes) -> bytes:
    """Returns the text of a field, which ends at the first NUL."""
    return field.partition(b"\0")[0]


def show(value: bytes) -> str:
    """Quotes bytes for a message."""
    return quote(value[:200].decode("utf-8", "backslashreplace"))


def parse_number(field: bytes) -> int | None:
    """Parses a number: octal with padding, or GNU tar's base 256. Returns None if it is neither."""
    if octal := _OCTAL(field):
        return int(octal[1] or b"0", 8)
    if field[0] not in (0x80, 0xFF):  # 0xff is the sign of a negative number.
        return None
    value = int.from_bytes(field[1:], "big") - (1 << 8 * (len(field) - 1) if field[0] == 0xFF else 0)
    return value if -1 << 63 <= value < 1 << 63 else None


def _number(name: str, field: bytes) -> int:
    value = parse_number(field)
    if value is None:
        raise HeaderError(f"{name} {quote(field.decode('latin-1'))} is not a valid octal number")
    return value


def _star_prefix(rest: bytes) -> bytes:
    """Returns the prefix of star's format, which has times after it."""
    for field, start, end in _STAR_TIMES:
        _number(field, rest[start:end])
    if rest[319]:
        raise HeaderError("star's prefix has no NUL at its end")
    return text(rest[189:320])


def _verify_checksum(block: bytes) -> None:
    digits = _OCTAL(block[148:156])
    expected = int(digits[1], 8) if digits and digits[1] else -1
    total = sum(block[:148]) + _SPACES + sum(block[156:])
    # Some old programs add up signed bytes.
    if expected != total and expected != total - 256 * sum(byte > 127 for byte in block[:148] + block[156:]):
        raise HeaderError("the checksum is wrong: the archive is damaged, or not a tar")
