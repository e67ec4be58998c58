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

from .errors import quote
from .tar import BLOCK

Header = namedtuple("Header", ("kind", "name", "link", "mode", "uid", "gid", "size", "gnu"))
"""A header.

kind: bytes, the type flag. name, link: bytes, without padding; the name with its prefix. mode, uid, gid, size: int.
gnu: bool, whether the header is in GNU tar's own format.
"""

USTAR, GNU = b"ustar\0", b"ustar  \0"
_STAR = b"tar\0"
_DEVICES = (("devmajor", 329, 337), ("devminor", 337, 345))
_STAR_TIMES = (("atime", 476, 488), ("ctime", 488, 500))
_GNU_TIMES = (("atime", 345, 357), ("ctime", 357, 369))
_MAX_ID = 0xFFFFFFFE
"""uid_t has 32 bits, and chown(2) takes the largest number for "unchanged"."""
_MAX_SIZE = (1 << 63) - BLOCK
_SPACES = b" " * 8
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
    magic = block[257:265]
    name = text(block[:100])
    gnu = magic == GNU
    if magic[:6] == USTAR:
        prefix = _star_prefix(block) if block[508:] == _STAR else text(block[345:500])
        if prefix:
            name = prefix + b"/" + name
    elif gnu:
        # Go takes what is not a valid time for a prefix, which GNU tar does not write.
        for field, start, end in _GNU_TIMES:
            if block[start]:
                _number(field, block[start:end])
    elif magic[:5] == USTAR[:5]:
        raise HeaderError(f"magic {show(magic)} is neither ustar's nor GNU tar's")
    if gnu or magic[:6] == USTAR:
        for field, start, end in _DEVICES:
            _number(field, block[start:end])
    _number("mtime", block[136:148])
    return Header(
        block[156:157],
        name,
        text(block[157:257]),
        in_range("mode", _number("mode", block[100:108]), _MAX_SIZE),
        owner("uid", _number("uid", block[108:116])),
        owner("gid", _number("gid", block[116:124])),
        in_range("size", _number("size", block[124:136]), _MAX_SIZE),
        gnu,
    )


def owner(field: str, value: int) -> int:
    """Returns a user or group ID.

    Raises:
      HeaderError: it is out of range.
    """
    return in_range(field, value, _MAX_ID)


def size(value: int) -> int:
    """Returns a size in bytes.

    Raises:
      HeaderError: it is out of range.
    """
    return in_range("size", value, _MAX_SIZE)


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


@functools.lru_cache(1024)  # Entries of an archive share most of their owners, modes and times.
def _number(name: str, field: bytes) -> int:
    value = parse_number(field)
    if value is None:
        raise HeaderError(f"{name} {quote(field.decode('latin-1'))} is not a valid octal number")
    return value


def _star_prefix(block: bytes) -> bytes:
    """Returns the prefix of star's format, which has times after it."""
    for field, start, end in _STAR_TIMES:
        _number(field, block[start:end])
    if block[475]:
        raise HeaderError("star's prefix has no NUL at its end")
    return text(block[345:476])


def _verify_checksum(block: bytes) -> None:
    expected = _OCTAL(block[148:156])
    fields = block[:148] + _SPACES + block[156:]
    # Some old programs add up signed bytes.
    if not expected or not expected[1] or int(expected[1], 8) not in (sum(fields), sum(fields) - 256 * sum(byte > 127 for byte in fields)):
        raise HeaderError("the checksum is wrong: the archive is damaged, or not a tar")
