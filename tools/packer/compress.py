"""How a layer is stored: as it is, as gzip (RFC 1952) or as zstd (RFC 8878).

A codec cuts the tar into blocks of fixed size, each compressed by itself: a block of
gzip with the 32 KiB before it as its dictionary, a block of zstd as a frame. So what a
layer compresses to depends on the tar alone, not on how it arrives nor on how many
threads there are, and blocks can be compressed side by side.
"""

from __future__ import annotations

import hashlib
import struct
import zlib

from .errors import InputError, problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

MEDIA_TYPES = {
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
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
          InputError: the level is none, or this interpreter's zlib gives other bytes than others do.
        """
        _check("gzip", level, _GZIP, lambda sample: _deflate(sample, level, b"", zlib.Z_FINISH), zlib.ZLIB_RUNTIME_VERSION)
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


class Zstd:
    """Blocks that are zstd frames; their sequence is one stream (RFC 8878, 3.1).

    Attributes: as of Gzip.
    """

    block = 1 << 21
    head = b""

    def __init__(self, level: int) -> None:
        """
        Raises:
          InputError: the level is none, or the interpreter has no zstd, or one that gives other bytes.
        """
        try:
            from compression import zstd
        except ImportError:
            what = "this interpreter has no zstd, Python 3.14 has; use the Python toolchain that rules_setcap registers"
            raise InputError([problem("compression", "zstd", what)]) from None
        _check("zstd", level, _ZSTD, lambda sample: zstd.compress(sample, level), zstd.zstd_version)
        self._compress: Callable[[bytes, int], bytes] = zstd.compress
        self._level = level
        self._previous = b""
        self._job: Callable[[], bytes] = bytes  # Of an empty block: nothing.

    def job(self, block: bytes, last: bool) -> Callable[[], bytes]:
        """Takes the next block; returns what compresses it, in any thread."""
        if block != self._previous:
            self._previous, self._job = block, _Once(self._compress, block, self._level) if block else bytes
        return self._job

    def tail(self) -> bytes:
        """Frames end by themselves."""
        return b""


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


def codec(compression: str, level: int) -> Gzip | Zstd | None:
    """The codec of a key of MEDIA_TYPES; None where the tar is stored as it is.

    Args:
      compression: the key.
      level: of gzip 1 to 9, of zstd 1 to 19; 0 for the default of each.

    Raises:
      InputError: the level is none, or this interpreter has not the library that gives the known bytes.
    """
    if compression == "none":
        return None
    # Level 5 of zlib is half again as fast as 6, the default of gzip(1), and 1 % larger.
    return Gzip(level or 5) if compression == "gzip" else Zstd(level or 3)


def _deflate(block: bytes, level: int, window: bytes, flush: int) -> bytes:
    """One block of raw deflate (RFC 1951)."""
    stream = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_DEFAULT_STRATEGY, window)
    return stream.compress(block) + stream.flush(flush)


# CRC-32 of what zlib 1.2 and 1.3, and zstd 1.5, make of _sample() at each level.
# zlib-ng and other codecs behind the same interface find other matches, and so does
# another release of zstd: a layer of theirs would have another digest.
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
_ZSTD = {
    1: 0x597D57F6,
    2: 0x4DD549C6,
    3: 0x7C2102CE,
    4: 0x42F09FDD,
    5: 0x3ED7EAC4,
    6: 0x97FB2DD6,
    7: 0x8CE9CBF4,
    8: 0x4E173E2E,
    9: 0x59642A26,
    10: 0x3B2444A0,
    11: 0x922FC74C,
    12: 0x1BA30EA3,
    13: 0x212D6C42,
    14: 0x7BDEB4E4,
    15: 0x861C2BBF,
    16: 0x77F94B99,
    17: 0x77F94B99,
    18: 0x77F94B99,
    19: 0xE684BC00,
}


def _sample() -> bytes:
    """Matches of many lengths and distances, and more literals than deflate puts into one block (16 Ki)."""
    noise = hashlib.shake_128(b"rules_setcap").digest(20480)
    matches = bytearray()
    for at in range(1024):
        start = len(matches) * noise[at] >> 8
        matches += matches[start : start + (noise[-at] & 63)] + noise[at : at + (noise[at] & 3) + 1]
    return bytes(matches) + noise


_checked: set[tuple[str, int]] = set()


def _check(name: str, level: int, known: dict[int, int], compress: Callable[[bytes], bytes], version: Any) -> None:
    """Whether this interpreter's library gives the known bytes; once a process."""
    if (name, level) in _checked:
        return
    if level not in known:
        raise InputError([problem("compression_level", level, f"{name} has levels 1 to {max(known)}")])
    if zlib.crc32(compress(_sample())) != known[level]:
        raise InputError(
            [
                problem(
                    "compression",
                    name,
                    f"this interpreter's library ({version}) compresses to other bytes than those of rules_setcap, "
                    "so that the digest would differ; use the Python toolchain that rules_setcap registers, "
                    'or compression = "none"',
                )
            ]
        )
    _checked.add((name, level))
