"""Writes tar headers as Go's archive/tar does: in the ustar format if that can hold all fields, else with a pax header.

Docker, BuildKit, containerd, ko and crane all write with archive/tar, so the layers that they make of the same entries have the
same diff_id. The rules are those of Header.allowedFormats and Writer.WriteHeader of archive/tar for a header of unspecified
format. POSIX.1-2017 describes the fields (pax, "ustar Interchange Format" and "pax Extended Header").
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING
from zlib import adler32

if TYPE_CHECKING:
    from collections.abc import Mapping

    CommonFields = tuple[bytes, bytes, bytes, int]

BLOCK = 512
END = bytes(2 * BLOCK)
"""The end-of-archive marker: two blocks of zeros after the last entry, without padding to a record of tar(1)."""

REGULAR, HARD_LINK, SYMBOLIC_LINK, DIRECTORY = b"0", b"1", b"2", b"5"
_EXTENDED = b"x"

_NAME, _PREFIX = 100, 155  # The sizes of the fields in bytes.
_REST = struct.Struct("c 100s 6s 2s 32s 32s 8s 8s 155s 12x")  # The fields after the checksum.
_ZERO = b"0000000\0"
_SPACES = b"        "
_SIZES = 4096  # The sizes whose fields are kept.
_MAX_8, _MAX_12 = 1 << 21, 1 << 33  # The smallest numbers that octal fields of 8 and 12 bytes cannot hold.


def format_header(
    name: bytes,
    kind: bytes,
    *,
    mode: int,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    records: Mapping[bytes, bytes] | None = None,
) -> bytes:
    """Returns the header of an entry, with a pax header before it if it needs one.

    Args:
      name: the path in UTF-8, without NUL; that of a directory ends with "/".
      kind: REGULAR, HARD_LINK, SYMBOLIC_LINK or DIRECTORY.
      mode: the permission bits, below 8^7.
      uid: the owner.
      gid: the group.
      size: the size of the content in bytes, for a regular file.
      mtime: seconds since 1970.
      link: the target of a link, in UTF-8.
      records: pax records, such as `SCHILY.xattr.security.capability`; any bytes may be their values.

    Returns:
      512 bytes, or more if there is a pax header.
    """
    pax = dict(records or ())
    ustar = not pax
    prefix = b""
    if not name.isascii() or len(name) > _NAME:
        pax[b"path"] = name
        prefix, _ = _split_name(name)
        ustar = ustar and prefix != b""
    if not link.isascii() or len(link) > _NAME:
        pax[b"linkpath"] = link
        ustar = False
    if not (0 <= uid < _MAX_8 and 0 <= gid < _MAX_8 and 0 <= size < _MAX_12 and 0 <= mtime < _MAX_12):
        ustar = False
        for key, value, limit in (
            (b"uid", uid, _MAX_8),
            (b"gid", gid, _MAX_8),
            (b"size", size, _MAX_12),
            (b"mtime", mtime, _MAX_12),
        ):
            if not 0 <= value < limit:
                pax[key] = b"%d" % value

    if ustar:
        prefix, name = _split_name(name)
        return _format_block(name, size, _format_common_fields(kind, mode, uid, gid, mtime, link, prefix))
    data = b"".join(format_record(key, pax[key]) for key in sorted(pax))
    return format_pax_header(name, data) + _format_block(
        _drop_non_ascii(name), size, _format_common_fields(kind, mode, uid, gid, mtime, _drop_non_ascii(link))
    )


class _Checksums(dict[int, bytes]):
    """The fields of checksums by their values; each is formatted once."""

    def __missing__(self, value: int) -> bytes:
        field = self[value] = b"%06o\0 " % value
        return field


_CHECKSUMS = _Checksums()


class FileHeaders:
    """The headers of regular files that have everything in common but name and size. It takes a fifth of the time of format_header()."""

    def __init__(self, mode: int, uid: int, gid: int, mtime: int) -> None:
        """Takes what the files have in common; the arguments are those of format_header()."""
        self._common = (mode, uid, gid, mtime)
        fits = 0 <= uid < _MAX_8 and 0 <= gid < _MAX_8 and 0 <= mtime < _MAX_12
        self._max_size = _MAX_12 if fits else 0
        self._owner, self._time, self._rest, self._total = _format_common_fields(REGULAR, mode, uid, gid, mtime)
        self._middles: dict[int, tuple[bytes, int]] = {}

    def format(self, name: bytes, size: int) -> bytes:
        """Returns the header of a file, as format_header() does.

        Args:
          name: the path.
          size: the size of the content in bytes.
        """
        if len(name) > _NAME or not name.isascii() or size >= self._max_size:
            mode, uid, gid, mtime = self._common
            return format_header(name, REGULAR, mode=mode, uid=uid, gid=gid, size=size, mtime=mtime)
        middle = self._middles.get(size)
        if middle is None:
            length = _format_octal(size, 12)
            # adler32() sums bytes as in _format_block().
            middle = self._owner + length + self._time, self._total + (adler32(length, 0) & 0xFFFF)
            if len(self._middles) < _SIZES:
                self._middles[size] = middle
        return name.ljust(_NAME, b"\0") + middle[0] + _CHECKSUMS[middle[1] + (adler32(name, 0) & 0xFFFF)] + self._rest


def format_pax_header(name: bytes, data: bytes) -> bytes:
    """Returns a pax header.

    Args:
      name: the name of the entry that the header is for.
      data: the content of the header: its records.
    """
    return (
        _format_block(_pax_header_name(name), len(data), _format_common_fields(_EXTENDED, 0, 0, 0, 0))
        + data
        + bytes(-len(data) % BLOCK)
    )


def replace_pax_content(block: bytes, data: bytes) -> bytes:
    """Returns a pax header with the fields of another pax header, and other content.

    Size and checksum have the width that POSIX gives them. The byte after each stays as it is if POSIX allows it.

    Args:
      block: the header of the other pax header.
      data: the content: the records.
    """
    size = b"%011o" % len(data) + (block[135:136] if block[135:136] in (b"\0", b" ") else b"\0")
    end = block[154:156] if block[154:156] in (b"\0 ", b" \0") else b"\0 "
    start, rest = block[:124] + size + block[136:148], block[156:]
    return start + b"%06o" % (sum(start) + sum(_SPACES) + sum(rest)) + end + rest + data + bytes(-len(data) % BLOCK)


def _split_name(name: bytes) -> tuple[bytes, bytes]:
    """Returns prefix and name of a long path, split at the last "/" that makes both short enough; else b"" and the path."""
    if len(name) <= _NAME or not name.isascii():
        return b"", name
    end = len(name)
    if end > _PREFIX + 1:
        end = _PREFIX + 1
    elif name.endswith(b"/"):
        end -= 1
    at = name.rfind(b"/", 0, end)
    rest = len(name) - at - 1
    if at <= 0 or rest > _NAME or rest == 0:
        return b"", name
    return name[:at], name[at + 1 :]


def _pax_header_name(name: bytes) -> bytes:
    """Returns the name of the pax header of an entry, which programs without support of pax headers show."""
    directory, _, base = name.rpartition(b"/")
    parts = [part for part in directory.split(b"/") if part not in (b"", b".")]
    text = b"/".join([*parts, b"PaxHeaders.0", *([base] if base else [])])
    return _drop_non_ascii(b"/" + text if name.startswith(b"/") else text)[:_NAME].rstrip(b"/")


def format_record(key: bytes, value: bytes) -> bytes:
    r"""Returns a pax record: `length key=value\n`, where the length includes its own digits."""
    size = len(key) + len(value) + 3
    size += len(str(size))
    record = b"%d %s=%s\n" % (size, key, value)
    if len(record) != size:
        record = b"%d %s=%s\n" % (len(record), key, value)
    return record


def _format_block(name: bytes, size: int, common: CommonFields) -> bytes:
    """Returns a header. A number that is too large for its field is zero in it; the pax header has the number."""
    owner, time, rest, total = common
    field, length = name.ljust(_NAME, b"\0") if len(name) <= _NAME else _truncate_name(name), _format_octal(size, 12)
    # The lower half of an Adler-32 that starts with 0 is the sum of the bytes modulo 65521, a number that the bytes of two
    # fields do not reach.
    total += adler32(length, adler32(field, 0)) & 0xFFFF
    return b"%s%s%s%s%06o\0 %s" % (field, owner, length, time, total, rest)


@functools.lru_cache(256)
def _format_common_fields(
    kind: bytes, mode: int, uid: int, gid: int, mtime: int, link: bytes = b"", prefix: bytes = b""
) -> CommonFields:
    """Returns the fields that most headers of a layer share.

    Returns:
      The bytes between name and size, those between size and checksum, those after the checksum, and the sum of all of them.
    """
    device = b"" if kind == _EXTENDED else _ZERO  # Go fills in the numbers of real entries only.
    owner, time = _format_octal(mode, 8) + _format_octal(uid, 8) + _format_octal(gid, 8), _format_octal(mtime, 12)
    rest = _REST.pack(
        kind, _truncate_name(link) if len(link) > _NAME else link, b"ustar\0", b"00", b"", b"", device, device, prefix
    )
    return owner, time, rest, sum(owner) + sum(time) + sum(_SPACES) + sum(rest)  # The checksum counts its own field as spaces.


def _truncate_name(name: bytes) -> bytes:
    """Returns the first 100 bytes of a longer name. They do not end in "/", because readers would see a directory.

    Like Go, this puts a NUL before the last slashes and keeps the bytes after it.
    """
    field = name[:_NAME]
    if field.endswith(b"/"):
        end = len(field[:-1].rstrip(b"/"))
        field = field[:end] + b"\0" + field[end + 1 :]
    return field


@functools.lru_cache(1024)
def _format_octal(value: int, width: int) -> bytes:
    """Returns the field of a number; zero if the number does not fit."""
    return b"%0*o\0" % (width - 1, value if 0 <= value < 1 << (width - 1) * 3 else 0)


def _drop_non_ascii(text: bytes) -> bytes:
    """Returns a text without its bytes that are not ASCII; the pax header has the whole text."""
    return text if text.isascii() else bytes(byte for byte in text if byte < 0x80)
