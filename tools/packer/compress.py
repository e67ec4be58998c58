"""How a layer is stored: as it is, or as gzip (RFC 1952) in blocks.

The deflate stream is cut into blocks of fixed size, each of which starts with the
32 KiB before it as its dictionary. What a block compresses to therefore depends on
the tar alone, not on how it arrives, and blocks can be compressed side by side.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Callable

from .errors import InputError, problem

MEDIA_TYPES = {
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "none": "application/vnd.oci.image.layer.v1.tar",
}
"""OCI image-spec, "Image Layer Filesystem Changeset", by the name that users type."""

Write = Callable[[bytes], object]

_BLOCK = 1 << 20
_WINDOW = 1 << 15

# No name, no time, no flags, unknown system: the same header wherever it is made.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


class Plain:
    """Passes the tar through."""

    def __init__(self, write: Write) -> None:
        self.write = write

    def close(self) -> None:
        """Nothing is held back."""


class Gzip:
    """Compresses what is written, block by block."""

    def __init__(self, write: Write, level: int) -> None:
        """
        Raises:
          InputError: this interpreter's zlib does not give the bytes that others do.
        """
        _check_zlib(level)
        self._write = write
        self._level = level
        self._block = bytearray()
        self._window = b""
        self._crc = 0
        self._size = 0
        write(_HEADER)

    def write(self, data: bytes) -> None:
        """Takes bytes of the tar."""
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._block += data
        while len(self._block) > _BLOCK:
            self._write(self._deflate(bytes(self._block[:_BLOCK]), zlib.Z_SYNC_FLUSH))
            del self._block[:_BLOCK]

    def close(self) -> None:
        """Writes the last block and the trailer."""
        self._write(self._deflate(bytes(self._block), zlib.Z_FINISH))
        self._write(struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))

    def _deflate(self, block: bytes, flush: int) -> bytes:
        compressed = deflate(block, self._level, self._window, flush)
        self._window = block[-_WINDOW:]
        return compressed


def deflate(block: bytes, level: int, window: bytes, flush: int) -> bytes:
    """One block as raw deflate (RFC 1951).

    Args:
      block: at most 1 MiB.
      level: 1 to 9.
      window: the bytes before the block, at most 32 KiB.
      flush: zlib.Z_SYNC_FLUSH, or zlib.Z_FINISH for the last block.
    """
    codec = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_DEFAULT_STRATEGY, window)
    return codec.compress(block) + codec.flush(flush)


# What zlib 1.2 and 1.3 make of _sample() at each level. zlib-ng and other codecs behind
# the same interface find other matches; a layer of theirs would have another digest.
_KNOWN = {
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


def _sample() -> bytes:
    """Matches of many lengths and distances, and more literals than deflate puts into one block (16 Ki)."""
    noise = hashlib.shake_128(b"rules_setcap").digest(20480)
    matches = bytearray()
    for at in range(1024):
        start = len(matches) * noise[at] >> 8
        matches += matches[start : start + (noise[-at] & 63)] + noise[at : at + (noise[at] & 3) + 1]
    return bytes(matches) + noise


def _check_zlib(level: int) -> None:
    if zlib.crc32(deflate(_sample(), level, b"", zlib.Z_FINISH)) != _KNOWN[level]:
        raise InputError(
            [
                problem(
                    "compression_level",
                    level,
                    f"the zlib of this interpreter ({zlib.ZLIB_RUNTIME_VERSION}) compresses to other bytes than "
                    "zlib 1.2 and 1.3, so that the digest would differ; use the Python toolchain that "
                    'rules_setcap registers, or compression = "none"',
                )
            ]
        )
