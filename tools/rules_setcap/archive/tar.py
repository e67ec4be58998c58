"""Tar headers as Go's archive/tar writes them: ustar where it can say it all, else pax.

Docker, BuildKit, containerd, ko and crane all write with archive/tar, so a layer of the
same entries has their diff_id. The rules are those of its Header.allowedFormats and
Writer.WriteHeader for a header of unspecified format; the fields are POSIX.1-2017,
pax, "ustar Interchange Format" and "pax Extended Header".
"""

from __future__ import annotations

import functools
import struct
from zlib import adler32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping, Tuple

    _Common = Tuple[bytes, bytes, bytes, int]

BLOCK = 512
END = bytes(2 * BLOCK)
"""The two blocks of zeros after the last entry; no padding to a record beyond them."""

REGULAR, HARD_LINK, SYMBOLIC_LINK, DIRECTORY = b"0", b"1", b"2", b"5"
_EXTENDED = b"x"

_NAME, _PREFIX = 100, 155  # Sizes of the fields.
_REST = struct.Struct("c 100s 6s 2s 32s 32s 8s 8s 155s 12x")  # What follows the checksum.
_ZERO = b"0000000\0"
_SPACES = b"        "
_MAX_8, _MAX_12 = 1 << 21, 1 << 33  # Above what an octal field of that many bytes holds.


def header(
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
    """The header of an entry, with a pax header before it where one is needed.

    Args:
      name: path in UTF-8, without NUL; a directory's ends with "/".
      kind: REGULAR, HARD_LINK, SYMBOLIC_LINK or DIRECTORY.
      mode: permissions, below 8^7.
      uid: owner.
      gid: group.
      size: bytes that follow, for a regular file.
      mtime: seconds since 1970.
      link: what a link says, in UTF-8.
      records: pax records of any bytes, written as they are, as
        `SCHILY.xattr.security.capability`.

    Returns:
      512 bytes, or more by a pax header.
    """
    pax = dict(records or ())
    ustar = not pax
    prefix = b""
    if not name.isascii() or len(name) > _NAME:
        pax[b"path"] = name
        prefix, _ = _split(name)
        ustar = ustar and prefix != b""
    if not link.isascii() or len(link) > _NAME:
        pax[b"linkpath"] = link
        ustar = False
    if not (0 <= uid < _MAX_8 and 0 <= gid < _MAX_8 and 0 <= size < _MAX_12 and 0 <= mtime < _MAX_12):
        ustar = False
        for key, value, limit in ((b"uid", uid, _MAX_8), (b"gid", gid, _MAX_8), (b"size", size, _MAX_12), (b"mtime", mtime, _MAX_12)):
            if not 0 <= value < limit:
                pax[key] = b"%d" % value

    if ustar:
        prefix, name = _split(name)
        return _block(name, size, _common(kind, mode, uid, gid, mtime, link, prefix))
    data = b"".join(record(key, pax[key]) for key in sorted(pax))
    return extended(name, data) + _block(_ascii(name), size, _common(kind, mode, uid, gid, mtime, _ascii(link)))


def extended(name: bytes, data: bytes) -> bytes:
    """Returns a pax header.

    Args:
      name: of the entry that it is for.
      data: its records.
    """
    return _block(_extended_name(name), len(data), _common(_EXTENDED, 0, 0, 0, 0)) + data + bytes(-len(data) % BLOCK)


def changed(block: bytes, data: bytes) -> bytes:
    """Returns a pax header with the fields of another one, and other records.

    Size and checksum are written in the width of POSIX; a byte that ended them stays if POSIX allows it.

    Args:
      block: the header of the other one.
      data: the records.
    """
    size = b"%011o" % len(data) + (block[135:136] if block[135:136] in (b"\0", b" ") else b"\0")
    end = block[154:156] if block[154:156] in (b"\0 ", b" \0") else b"\0 "
    start, rest = block[:124] + size + block[136:148], block[156:]
    return start + b"%06o" % (sum(start) + sum(_SPACES) + sum(rest)) + end + rest + data + bytes(-len(data) % BLOCK)


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Prefix and name of a long path, at the last "/" that leaves both short enough; else no prefix."""
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


def _extended_name(name: bytes) -> bytes:
    """The name that a pax header has for tools that know no pax headers."""
    directory, _, base = name.rpartition(b"/")
    parts = [part for part in directory.split(b"/") if part not in (b"", b".")]
    text = b"/".join([*parts, b"PaxHeaders.0", *([base] if base else [])])
    return _ascii(b"/" + text if name.startswith(b"/") else text)[:_NAME].rstrip(b"/")


def record(key: bytes, value: bytes) -> bytes:
    """`length key=value\\n`, where the length counts its own digits."""
    size = len(key) + len(value) + 3
    size += len(str(size))
    record = b"%d %s=%s\n" % (size, key, value)
    if len(record) != size:
        record = b"%d %s=%s\n" % (len(record), key, value)
    return record


def _block(name: bytes, size: int, common: _Common) -> bytes:
    """512 bytes; a number too large for its field is zero there and right in the pax header."""
    owner, time, rest, total = common
    field, length = name.ljust(_NAME, b"\0") if len(name) <= _NAME else _cut(name), _octal(size, 12)
    # The lower half of an Adler-32 is a sum of bytes, modulo 65521, which those of two fields do not come to.
    total += adler32(length, adler32(field, 0)) & 0xFFFF
    return b"%s%s%s%s%06o\0 %s" % (field, owner, length, time, total, rest)


@functools.lru_cache(256)
def _common(
    kind: bytes, mode: int, uid: int, gid: int, mtime: int, link: bytes = b"", prefix: bytes = b""
) -> _Common:
    """What most headers of a layer share: the fields between name and size, size and checksum, after it; and their sum."""
    device = b"" if kind == _EXTENDED else _ZERO  # Go fills in the numbers of real entries only.
    owner, time = _octal(mode, 8) + _octal(uid, 8) + _octal(gid, 8), _octal(mtime, 12)
    rest = _REST.pack(kind, _cut(link) if len(link) > _NAME else link, b"ustar\0", b"00", b"", b"", device, device, prefix)
    return owner, time, rest, sum(owner) + sum(time) + sum(_SPACES) + sum(rest)  # The checksum counts itself as spaces.


def _cut(name: bytes) -> bytes:
    """The first 100 bytes of more; they do not end in "/", or readers would see a directory.

    Go ends the field with a NUL before the slashes, and leaves what is after it.
    """
    field = name[:_NAME]
    if field.endswith(b"/"):
        end = len(field[:-1].rstrip(b"/"))
        field = field[:end] + b"\0" + field[end + 1 :]
    return field


@functools.lru_cache(1024)
def _octal(value: int, width: int) -> bytes:
    """A number in its field; zero if it does not fit."""
    return b"%0*o\0" % (width - 1, value if 0 <= value < 1 << (width - 1) * 3 else 0)


def _ascii(text: bytes) -> bytes:
    """Without the bytes of other scripts; the pax header has them."""
    return text if text.isascii() else bytes(byte for byte in text if byte < 0x80)
