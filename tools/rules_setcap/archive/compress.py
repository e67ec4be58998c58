"""Compresses layers: gzip (RFC 1952) by libdeflate or zlib, and zstd (RFC 8878).

A codec cuts the tar into blocks of a fixed size and compresses each block by itself. With zlib, a block has the 32 KiB before
it as its dictionary; with zstd it becomes a frame; with libdeflate, a gzip member. So the compressed bytes depend on the tar
alone, not on the pieces in which it arrives or on the number of threads, and blocks can be compressed side by side.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import TYPE_CHECKING, Protocol

from rules_setcap.diagnostics.errors import InputError, format_problem, quote

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rules_setcap.diagnostics.problems import Problems

MEDIA_TYPES = {
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "none": "application/vnd.oci.image.layer.v1.tar",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
"""The media type of a layer (OCI image-spec, "Image Layer Filesystem Changeset"), by the compression that users write."""

_WINDOW = 1 << 15


class Codec(Protocol):
    """Compresses a tar, block by block.

    Attributes:
      block_size: the size of each block but the last, in bytes.
      header: the bytes before the first block.
    """

    block_size: int
    header: bytes

    def add_block(self, block: bytes, last: bool) -> Callable[[], bytes]:
        """Takes the next block; returns a function that compresses it, in any thread."""

    def finish(self) -> bytes:
        """Returns the bytes after the last block."""


class ZlibCodec:
    """A Codec that makes one deflate stream of all blocks, by the zlib of the interpreter."""

    block_size = 1 << 20
    header = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # No name, no time, no flags, unknown system.

    def __init__(self, level: int) -> None:
        """Checks this interpreter's zlib.

        Args:
          level: the compression level, 1 to 9.

        Raises:
          InputError: this interpreter's zlib does not give the known bytes.
        """
        library = f"this interpreter's library ({zlib.ZLIB_RUNTIME_VERSION})"
        instead = f'{_TOOLCHAIN}, or compression = "none"'
        _check_known_bytes(
            "gzip", level, _ZLIB, lambda sample: _deflate(sample, level, b"", zlib.Z_FINISH), (_matches,), library, instead
        )
        self._level = level
        self._window = b""
        self._last_call: tuple[Any, ...] = ()
        self._last_job: Callable[[], bytes] = bytes
        self._crc = 0
        self._size = 0

    def add_block(self, block: bytes, last: bool) -> Callable[[], bytes]:
        """Takes the next block; returns a function that compresses it, in any thread."""
        self._crc = zlib.crc32(block, self._crc)
        self._size += len(block)
        call = (block, self._level, self._window, zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
        if call != self._last_call:
            self._last_call, self._last_job = call, _MemoizedCall(_deflate, *call)
        self._window = block[-_WINDOW:]
        return self._last_job

    def finish(self) -> bytes:
        """Returns the trailer: CRC-32 and size of the tar."""
        return struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)


class FrameCodec:
    """A Codec whose compressed blocks are independent: frames of zstd (RFC 8878, 3.1) or members of gzip (RFC 1952, 2.2)."""

    header = b""

    def __init__(self, block_size: int, compress: Callable[[bytes], bytes]) -> None:
        """Creates a codec.

        Args:
          block_size: the size of a block in bytes.
          compress: a function that makes a frame or member of one block, in any thread.
        """
        self.block_size = block_size
        self._compress = compress
        self._last_block = b""
        self._last_job: Callable[[], bytes] = bytes  # An empty block becomes no frame.

    def add_block(self, block: bytes, last: bool) -> Callable[[], bytes]:
        """Takes the next block; returns a function that compresses it, in any thread."""
        if block != self._last_block:
            self._last_block, self._last_job = block, _MemoizedCall(self._compress, block) if block else bytes
        return self._last_job

    def finish(self) -> bytes:
        """Returns nothing: each frame has an end of its own."""
        return b""


def _make_zstd_codec(level: int) -> FrameCodec:
    try:
        from compression import zstd
    except ImportError:
        what = f"this interpreter has no zstd, Python 3.14 has; {_TOOLCHAIN}"
        raise InputError([format_problem("compression", "zstd", what)]) from None

    def compress(block: bytes) -> bytes:
        frame: bytes = zstd.compress(block, level)
        return frame

    library = f"this interpreter's library ({zstd.zstd_version})"
    _check_known_bytes("zstd", level, _ZSTD, compress, (_mixture,), library, f'{_TOOLCHAIN}, or compression = "gzip"')
    return FrameCodec(1 << 21, compress)


def _make_libdeflate_codec(level: int, path: str) -> FrameCodec:
    from rules_setcap.archive import libdeflate

    try:
        library = libdeflate.Library(path)
    except OSError as error:
        raise InputError(
            [format_problem("compression", "gzip", f"the library {quote(path)} cannot be loaded: {error}; {_GZIP_LIBRARY}")]
        ) from None

    def compress(block: bytes) -> bytes:
        return library.compress_gzip(block, level)

    _check_known_bytes("gzip", level, _LIBDEFLATE, compress, (_mixture, _table), f"the library {quote(path)}", _GZIP_LIBRARY)
    return FrameCodec(1 << 20, compress)


class _MemoizedCall:
    """A memoized call: identical consecutive blocks, such as zeros, are compressed once."""

    __slots__ = ("_call", "_result")

    def __init__(self, call: Callable[..., bytes], *arguments: Any) -> None:
        self._call = (call, arguments)
        self._result: bytes | None = None

    def __call__(self) -> bytes:
        if self._result is None:
            call, arguments = self._call
            self._result = call(*arguments)
        return self._result


def check_level(compression: str, level: int, library: str, problems: Problems) -> int:
    """Returns a compression level. If the level is not valid, adds a problem and returns 0, the default.

    Args:
      compression: a key of MEDIA_TYPES.
      level: the level; 0 for the default.
      library: the path of libdeflate's shared library; "" if zlib makes gzip.
      problems: the collector of problems.
    """
    if not level:
        return 0
    known = {"gzip": _LIBDEFLATE if library else _ZLIB, "zstd": _ZSTD}.get(compression)
    if known is None:
        problems.add("compression_level", level, f'has no effect: compression is "{compression}"; leave it out')
        return 0
    if level not in known:
        by = " by zlib" if known is _ZLIB else ""
        problems.add("compression_level", level, f"is out of range (1 to {max(known)} for {compression}{by})")
        return 0
    return level


def make_codec(compression: str, level: int, library: str) -> Codec | None:
    """Returns the codec of a compression; None for an uncompressed layer.

    Args:
      compression: a key of MEDIA_TYPES.
      level: the level, from check_level(); 0 for the default.
      library: the path of libdeflate's shared library; "" if zlib makes gzip.

    Raises:
      InputError: the library is missing or does not give the known bytes.
    """
    if compression == "none":
        return None
    if compression == "zstd":
        return _make_zstd_codec(level or 3)
    # With zlib, level 5 is 1.5 times as fast as level 6, the default of gzip(1), and the layer is 1 % larger. Level 5 of
    # libdeflate makes smaller layers than either.
    return _make_libdeflate_codec(level or 5, library) if library else ZlibCodec(level or 5)


def _deflate(block: bytes, level: int, window: bytes, flush: int) -> bytes:
    """Compresses one block to raw deflate (RFC 1951), with `window` as the dictionary."""
    stream = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_DEFAULT_STRATEGY, window)
    return stream.compress(block) + stream.flush(flush)


_TOOLCHAIN = "use the Python toolchain that rules_setcap registers"
_GZIP_LIBRARY = "set --@rules_setcap//rules:gzip_library to libdeflate 1.20 or later for the execution platform, or to @rules_setcap//rules:zlib"

# The known bytes: CRC-32 of the compressed samples at each level, by zlib 1.2 and 1.3, zstd 1.5.7, and libdeflate since 1.20.
# zlib-ng and other codecs behind the same interface find other matches, and so do other releases of zstd and libdeflate, so
# that their layers would have other digests. The samples are chosen so that all releases that differ give other bytes.
_ZLIB = {
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
    """Returns a sample with matches of many lengths and distances, and more literals than a deflate block holds (16 Ki)."""
    noise = _noise()[:20480]
    matches = bytearray()
    for at in range(1024):
        start = len(matches) * noise[at] >> 8
        matches += matches[start : start + (noise[-at] & 63)] + noise[at : at + (noise[at] & 3) + 1]
    return bytes(matches) + noise


def _mixture() -> bytes:
    """Returns a sample of three blocks of zstd (128 KiB each), or one of libdeflate.

    As in a binary, the data changes within each block.
    """
    noise = _noise()
    few = noise.translate(bytes((byte * byte >> 11) + 64 for byte in range(256)))
    words = b" ".join([noise[at : at + 2 + (at & 7)].hex().encode() for at in noise[:16384]])
    rows = struct.pack("<32768I", *range(1 << 20, (1 << 20) + 3 * 32768, 3))
    blocks = (few[:60000] + words, rows[:50000] + noise[:30000] + few, _matches() + words[80000:] + rows[50000:])
    return b"".join([block[: 1 << 17] for block in blocks])


def _table() -> bytes:
    """Returns a few literals without a match: releases of libdeflate differ in the unused code of distances."""
    return b"".join([bytes((byte, 57)) for byte in range(197, 221)])


def _noise() -> bytes:
    return hashlib.shake_128(b"rules_setcap").digest(1 << 16)


_checked_libraries: set[tuple[int, str]] = set()


def _check_known_bytes(
    name: str,
    level: int,
    known: dict[int, int],
    compress: Callable[[bytes], bytes],
    samples: tuple[Callable[[], bytes], ...],
    library: str,
    instead: str,
) -> None:
    """Checks once per process that a library gives the known bytes.

    Args:
      name: the compression, for messages.
      level: the compression level.
      known: the CRC-32 of the compressed samples by level.
      compress: compresses a sample at this level.
      samples: functions that return the samples.
      library: the library, for messages.
      instead: what to use in place of the library, for messages.

    Raises:
      InputError: the library gives other bytes.
    """
    if (level, library) in _checked_libraries:
        return
    if zlib.crc32(b"".join([compress(sample()) for sample in samples])) != known[level]:
        what = f"{library} compresses to other bytes than those of rules_setcap, so that the digest would differ; {instead}"
        raise InputError([format_problem("compression", name, what)])
    _checked_libraries.add((level, library))
