"""What is compressed, as the bytes that it stands for."""

from __future__ import annotations

import zlib

from . import limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\0": "xz"}
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)  # A zstd frame of no content; zstd:chunked puts some between others.
_MAX_RATIO = 1100  # Deflate gets to 1032 at most.
_FREE = 1 << 30


class DecompressionError(ValueError):
    """What is wrong with compressed bytes, as a sentence."""


class Decompressed:
    """A stream of what a compressed stream stands for; of one that is not compressed, itself.

    Attributes:
      codec: "gzip", "zstd", "xz" or "none", by its first bytes.
    """

    def __init__(self, stream: BinaryIO | Any) -> None:
        """
        Args:
          stream: an object with read(size).

        Raises:
          DecompressionError: this Python cannot read it.
        """
        self._counted = _Counted(stream)
        self.codec = self._counted.codec
        self._given = 0
        self._stream = self._open()

    def read(self, size: int) -> bytes:
        """The next bytes; fewer than `size` at the end alone.

        Raises:
          DecompressionError: damaged, or far larger than what it is made of.
        """
        try:
            data: bytes = self._stream.read(size)
        except (EOFError, ValueError, OSError, ArithmeticError, zlib.error) as error:
            raise DecompressionError(f"damaged {self.codec}: {error}") from None
        except Exception as error:
            # zstd and xz have exceptions of their own, in modules that may not be there.
            if type(error).__name__ not in ("ZstdError", "LZMAError"):
                raise
            raise DecompressionError(f"damaged {self.codec}: {error}") from None
        self._given += len(data)
        if self._given > _FREE and self._given > _MAX_RATIO * self._counted.taken and self.codec != "none":
            raise DecompressionError(f"{self._counted.taken} bytes of {self.codec} that unpack to more than {_MAX_RATIO} times as many")
        return data

    def _open(self) -> Any:
        stream: Any = self._counted
        if self.codec == "gzip":
            import gzip

            return gzip.GzipFile(fileobj=stream)
        if self.codec == "zstd":
            try:
                from compression import zstd
            except ImportError:
                raise DecompressionError("zstd, which Python reads since 3.14") from None
            return zstd.ZstdFile(stream)
        if self.codec == "xz":
            import lzma

            return _Xz(stream, lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.XZ_MEMORY))
        return stream


class _Counted:
    """A stream whose start has been looked at, and that counts what is taken from it."""

    def __init__(self, stream: Any) -> None:
        self.taken = 0
        self._stream = stream
        self._head: bytes = stream.read(6)
        self.codec = next((codec for magic, codec in _MAGIC.items() if self._head.startswith(magic)), "none")
        if len(self._head) >= 4 and int.from_bytes(self._head[:4], "little") in _SKIPPABLE:
            self.codec = "zstd"

    def read(self, size: int) -> bytes:
        data = self._head[:size]
        self._head = self._head[size:]
        if len(data) < size:
            data += self._stream.read(size - len(data))
        self.taken += len(data)
        return data


class _Xz:
    """lzma.LZMAFile with a limit to its memory; what follows the first stream must be padding."""

    def __init__(self, stream: _Counted, codec: Any) -> None:
        self._stream, self._codec = stream, codec

    def read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size and not self._codec.eof:
            fed = self._stream.read(1 << 16) if self._codec.needs_input else b""
            if not fed and self._codec.needs_input:
                raise EOFError("ends too soon")
            parts.append(self._codec.decompress(fed, size))
            size -= len(parts[-1])
        if self._codec.eof and (self._codec.unused_data + self._stream.read(1 << 16)).strip(b"\0"):
            raise EOFError("something follows it")
        return b"".join(parts)
