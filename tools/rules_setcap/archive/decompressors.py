"""Decompresses streams that follow each other: members of gzip, frames of zstd, streams of xz and bzip2."""

from __future__ import annotations

import functools
import zlib
from typing import TYPE_CHECKING

from rules_setcap.archive.budget import BudgetError
from rules_setcap.diagnostics import limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Source(Protocol):
        """A stream of compressed bytes."""

        def read(self, size: int, /) -> bytes:
            """Returns the next bytes, at most `size`; b"" at the end."""


_RESERVED_FLAGS = 0xE0  # Of a gzip header (RFC 1952, 2.3.1).
_CHUNK = 1 << 18  # The bytes of compressed input that one read takes.


class DecompressionError(ValueError):
    """Invalid compressed bytes; the message is a sentence."""


def find_decompressor(codec: str) -> Callable[[], Any] | None:
    """Returns a function that makes a decompressor of one stream, like those of bz2; None for the codec "none".

    Raises:
      DecompressionError: this Python does not have the codec.
    """
    if codec == "gzip":
        return _GzipDecompressor
    if codec == "zstd":
        try:
            from compression import zstd
        except ImportError:
            raise DecompressionError("compressed by zstd, which Python reads since 3.14") from None
        options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: limits.ZSTD_WINDOW_LOG}
        return lambda: zstd.ZstdDecompressor(options=options)
    if codec == "xz":
        import lzma

        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.XZ_MEMORY)
    if codec == "bzip2":
        import bz2

        return bz2.BZ2Decompressor
    return None


def _describe_error(error: BaseException) -> str:
    """Returns the message of a library's error; if the input exceeds one of our limits, a message with the limit."""
    text = str(error) or type(error).__name__
    if "too much memory" in text:
        return f"a window that is too large (limit ZSTD_WINDOW_LOG: {1 << limits.ZSTD_WINDOW_LOG >> 20} MiB)"
    if "Memory usage limit" in text or isinstance(error, MemoryError):
        return f"it needs too much memory (limit XZ_MEMORY: {limits.XZ_MEMORY >> 20} MiB)"
    return text


def convert_error(error: Exception, codec: str) -> Exception:
    """Returns the exception for an exception of a codec or a budget; the same one if it is not about the bytes."""
    if isinstance(error, BudgetError):
        return DecompressionError(str(error))
    # zstd, xz and isal have exceptions of their own, in modules that this Python may not have.
    is_about_bytes = isinstance(error, (EOFError, ValueError, OSError, ArithmeticError, MemoryError, zlib.error)) or type(
        error
    ).__name__ in ("ZstdError", "LZMAError", "IsalError")
    return DecompressionError(f"damaged {codec}: {_describe_error(error)}") if is_about_bytes else error


class ConcatenatedStreams:
    """The content of compressed streams (members, frames) that follow each other, with nothing between or after them."""

    def __init__(self, source: Source, make: Callable[[], Any], codec: str) -> None:
        """Starts the first stream.

        Args:
          source: the compressed bytes.
          make: a function that find_decompressor() returned.
          codec: the codec.
        """
        self._source, self._make = source, make
        self._decompressor = make()
        self._may_be_padded = codec == "xz"  # The xz format has padding: zeros, a multiple of four (1.2.2).
        self._unused = b""  # Compressed bytes that were read and not used yet.
        self._ended = False
        self._buffer, self._at = b"", 0  # Decompressed bytes that small reads left, and the offset of the next.

    def read(self, size: int) -> bytes:
        """Returns the next bytes; fewer than `size` only at the end."""
        end = self._at + size
        if end <= len(self._buffer):
            data = self._buffer[self._at : end]
            self._at = end
            return data
        parts = [self._buffer[self._at :]]
        size -= len(parts[0])
        self._buffer, self._at = b"", 0
        while size and not self._ended:
            part = self._read_some(max(size, _CHUNK))
            if len(part) > size:
                self._buffer, self._at, part = part, size, part[:size]
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _read_some(self, most: int) -> bytes:
        """Returns up to `most` of the next bytes; possibly none, before the end too."""
        if self._decompressor.eof:
            self._start_next()
            return b""
        compressed = b""
        if self._decompressor.needs_input:
            compressed = self._unused or self._source.read(_CHUNK)
            self._unused = b""
            if not compressed:
                raise EOFError("it is truncated")
        data: bytes = self._decompressor.decompress(compressed, most)
        return data

    def _start_next(self) -> None:
        """Starts the stream that follows the one that has ended; without one, sets _ended."""
        left = self._decompressor.unused_data
        if self._may_be_padded:
            count = 0
            while True:
                left = left or self._source.read(_CHUNK)
                rest = left.lstrip(b"\0")
                count += len(left) - len(rest)
                if rest or not left:
                    break
                left = b""
            if count % 4:
                raise ValueError("padding that is not a multiple of four bytes")
            left = rest
        left = left or self._source.read(_CHUNK)
        self._ended = not left
        if left:
            self._unused, self._decompressor = left, self._make()


class _GzipDecompressor:
    """A decompressor of one gzip member, with the interface of those of bz2 and lzma; the library checks the CRC and the length."""

    def __init__(self) -> None:
        self._zlib = _find_inflate()(31)
        self._start = b""

    @property
    def eof(self) -> bool:
        return bool(self._zlib.eof)

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        data: bytes = self._zlib.unused_data
        return data

    def decompress(self, data: bytes, size: int) -> bytes:
        if len(self._start) < 4:
            self._start += data[: 4 - len(self._start)]
            if self._start[3:] and self._start[3] & _RESERVED_FLAGS:
                raise zlib.error("unknown header flags set")  # isal ignores them.
        result: bytes = self._zlib.decompress(self._zlib.unconsumed_tail + data, size)
        return result


@functools.cache
def _find_inflate() -> Callable[[int], Any]:
    """Returns a function like zlib.decompressobj(): that of the PyPI package isal, which takes half of the time, or zlib's."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.decompressobj
    decompressobj: Callable[[int], Any] = isal_zlib.decompressobj
    return decompressobj
