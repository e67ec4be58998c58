"""How a layer is stored: as it is, as gzip (RFC 1952) or as zstd (RFC 8878).

A codec cuts the tar into blocks of fixed size, each compressed by itself: a block of
zlib's gzip with the 32 KiB before it as its dictionary, a block of zstd as a frame, one
of libdeflate's gzip as a member. So what a layer compresses to depends on the tar alone,
not on how it arrives nor on how many threads there are, and blocks can be compressed
side by side.
"""

from __future__ import annotations

import hashlib
import struct
import zlib

from rules_setcap.diagnostics.errors import InputError, problem, quote
from rules_setcap.diagnostics.problems import Problems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

MEDIA_TYPES = {
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "libdeflate": "application/vnd.oci.image.layer.v1.tar+gzip",
    "none": "application/vnd.oci.image.layer.v1.tar",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
"""OCI image-spec, "Image Layer Filesystem Changeset", by the name that users type."""

_WINDOW = 1 << 15


class Gzip:
    """Blocks of one deflate stream.

    Attributes:
      block: size of a block, in bytes.
      head: what comes before the first.
    """

    block = 1 << 20
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # No name, no time, no flags, unknown system.

    def __init__(self, level: int) -> None:
        """
        Raises:
          InputError: this interpreter's zlib gives other bytes than others do.
        """
        library = f"this interpreter's library ({zlib.ZLIB_RUNTIME_VERSION})"
        instead = f'{_TOOLCHAIN}, or compression = "none"'
        _check("gzip", level, _GZIP, lambda sample: _deflate(sample, level, b"", zlib.Z_FINISH), (_matches,), library, instead)
        self._level = level
        self._window = b""
        self._previous: tuple[Any, ...] = ()
        self._job: Callable[[], bytes] = bytes
        self._crc = 0
        self._size = 0

    def job(self, block: bytes, last: bool) -> Callable[[], bytes]:
        """Takes the next block; returns what compresses it, in any thread."""
        self._crc = zlib.crc32(block, self._crc)
        self._size += len(block)
        this = (block, self._level, self._window, zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
        if this != self._previous:
            self._previous, self._job = this, _Once(_deflate, *this)
        self._window = block[-_WINDOW:]
        return self._job

    def tail(self) -> bytes:
        """What comes after the last block."""
        return struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)


class Frames:
    """Blocks that can be read by themselves: zstd's frames (RFC 8878, 3.1), gzip's members (RFC 1952, 2.2).

    Attributes: as of Gzip.
    """

    head = b""

    def __init__(self, block: int, compress: Callable[[bytes], bytes]) -> None:
        """
        Args:
          block: size of a block, in bytes.
          compress: makes one of a block, in any thread.
        """
        self.block = block
        self._compress = compress
        self._previous = b""
        self._job: Callable[[], bytes] = bytes  # Of an empty block: nothing.

    def job(self, block: bytes, last: bool) -> Callable[[], bytes]:
        """Takes the next block; returns what compresses it, in any thread."""
        if block != self._previous:
            self._previous, self._job = block, _Once(self._compress, block) if block else bytes
        return self._job

    def tail(self) -> bytes:
        """They end by themselves."""
        return b""


def _zstd(level: int) -> Frames:
    try:
        from compression import zstd
    except ImportError:
        what = f"this interpreter has no zstd, Python 3.14 has; {_TOOLCHAIN}"
        raise InputError([problem("compression", "zstd", what)]) from None

    def compress(block: bytes) -> bytes:
        return zstd.compress(block, level)

    library = f"this interpreter's library ({zstd.zstd_version})"
    _check("zstd", level, _ZSTD, compress, (_mixture,), library, f'{_TOOLCHAIN}, or compression = "gzip"')
    return Frames(1 << 21, compress)


def _libdeflate(level: int, path: str) -> Frames:
    from rules_setcap.archive import libdeflate

    try:
        library = libdeflate.Library(path)
    except OSError as error:
        raise InputError([problem("compression", "libdeflate", f"{quote(path)} cannot be loaded: {error}")]) from None

    def compress(block: bytes) -> bytes:
        return library.gzip(block, level)

    instead = 'use the one that rules_setcap has by default, or compression = "gzip"'
    _check("libdeflate", level, _LIBDEFLATE, compress, (_mixture, _table), f"the library {quote(path)}", instead)
    return Frames(1 << 20, compress)


class _Once:
    """A call that is made once, whoever asks: blocks that repeat each other, as of zeros, cost one."""

    __slots__ = ("_call", "_result")

    def __init__(self, call: Callable[..., bytes], *arguments: Any) -> None:
        self._call = (call, arguments)
        self._result: bytes | None = None

    def __call__(self) -> bytes:
        if self._result is None:
            call, arguments = self._call
            self._result = call(*arguments)
        return self._result


def check_level(compression: str, level: int, problems: Problems) -> int:
    """Returns a compression level; if it is not valid, adds a problem and returns 0, which stands for the default.

    Args:
      compression: a key of MEDIA_TYPES.
      level: the level, 0 for the default.
      problems: the collector of problems.
    """
    if not level:
        return 0
    known = {"gzip": _GZIP, "libdeflate": _LIBDEFLATE, "zstd": _ZSTD}.get(compression)
    if known is None:
        problems.add("compression_level", level, f'has no effect: compression is "{compression}"; leave it out')
        return 0
    if level not in known:
        problems.add("compression_level", level, f"is out of range (1 to {max(known)} for {compression})")
        return 0
    return level


def codec(compression: str, level: int, library: str) -> Gzip | Frames | None:
    """The codec of a key of MEDIA_TYPES; None where the tar is stored as it is.

    Args:
      compression: the key.
      level: from check_level(); 0 for the default of each.
      library: path of libdeflate, if it is that.

    Raises:
      InputError: the library does not give the known bytes.
    """
    if compression == "none":
        return None
    if compression == "zstd":
        return _zstd(level or 3)
    # Level 5 of zlib is half again as fast as 6, the default of gzip(1), and 1 % larger;
    # that of libdeflate is smaller than either.
    return _libdeflate(level or 5, library) if compression == "libdeflate" else Gzip(level or 5)


def _deflate(block: bytes, level: int, window: bytes, flush: int) -> bytes:
    """One block of raw deflate (RFC 1951)."""
    stream = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_DEFAULT_STRATEGY, window)
    return stream.compress(block) + stream.flush(flush)


_TOOLCHAIN = "use the Python toolchain that rules_setcap registers"

# CRC-32 of what zlib 1.2 and 1.3, zstd 1.5.7, and libdeflate since 1.20 make of samples at
# each level. zlib-ng and other codecs behind the same interface find other matches, and
# so do other releases of zstd and libdeflate: a layer of theirs would have another
# digest. The samples are such that releases that differ at all differ on them.
_GZIP = {
    1: 0x02858E58,
    2: 0x145AA56E,
    3: 0x92FE92F9,
    4: 0xFA2AD816,
    5: 0x32717308,
    6: 0xC3AF9D40,
    7: 0x4DB29B3D,
    8: 0x7C3A1160,
    9: 0xF705F63F,
}
_LIBDEFLATE = {
    1: 0xEF54E59C,
    2: 0x574B9B5F,
    3: 0x9EEF4920,
    4: 0x7FE3069F,
    5: 0xFA1C63F3,
    6: 0x55F4694C,
    7: 0x05EF4ED2,
    8: 0xAE413271,
    9: 0x5F8DAF03,
    10: 0x21F02CEA,
    11: 0x9CA702C1,
    12: 0x34FBCB3E,
}
_ZSTD = {
    1: 0x74B09B92,
    2: 0xB540F4E2,
    3: 0xF577278E,
    4: 0xFE2F6462,
    5: 0x7CA80A67,
    6: 0xE4B98668,
    7: 0xD86BF93F,
    8: 0xE8BA2155,
    9: 0xE8BA2155,
    10: 0xBEA31A9F,
    11: 0x56384155,
    12: 0x56384155,
    13: 0xF3FFE6C1,
    14: 0x70D56E63,
    15: 0x464E5F9A,
    16: 0xA08EC33F,
    17: 0x71E7415E,
    18: 0x8495B4B7,
    19: 0xD6714114,
}


def _matches() -> bytes:
    """Matches of many lengths and distances, and more literals than deflate puts into one block (16 Ki)."""
    noise = _noise()[:20480]
    matches = bytearray()
    for at in range(1024):
        start = len(matches) * noise[at] >> 8
        matches += matches[start : start + (noise[-at] & 63)] + noise[at : at + (noise[at] & 3) + 1]
    return bytes(matches) + noise


def _mixture() -> bytes:
    """Three blocks of zstd (128 KiB), one of libdeflate; each ends with other data than it starts with, as in a binary."""
    noise = _noise()
    few = noise.translate(bytes((byte * byte >> 11) + 64 for byte in range(256)))
    words = b" ".join([noise[at : at + 2 + (at & 7)].hex().encode() for at in noise[:16384]])
    rows = struct.pack("<32768I", *range(1 << 20, (1 << 20) + 3 * 32768, 3))
    blocks = (few[:60000] + words, rows[:50000] + noise[:30000] + few, _matches() + words[80000:] + rows[50000:])
    return b"".join([block[: 1 << 17] for block in blocks])


def _table() -> bytes:
    """Literals without a match, few of them: releases of libdeflate differ in the code of distances that is not used."""
    return b"".join([bytes((byte, 57)) for byte in range(197, 221)])


def _noise() -> bytes:
    return hashlib.shake_128(b"rules_setcap").digest(1 << 16)


_checked: set[tuple[int, str]] = set()


def _check(
    name: str,
    level: int,
    known: dict[int, int],
    compress: Callable[[bytes], bytes],
    samples: tuple[Callable[[], bytes], ...],
    library: str,
    instead: str,
) -> None:
    """Whether a library gives the known bytes, or an error; once a process."""
    if (level, library) in _checked:
        return
    if zlib.crc32(b"".join([compress(sample()) for sample in samples])) != known[level]:
        what = f"{library} compresses to other bytes than those of rules_setcap, so that the digest would differ; {instead}"
        raise InputError([problem("compression", name, what)])
    _checked.add((level, library))
