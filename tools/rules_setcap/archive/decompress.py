"""Reads compressed streams.

A file that decompressors read in different ways is refused. For example, bytes after the last gzip member are an error here:
gzip(1) skips them, and Go's reader fails.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from rules_setcap.archive.budget import BudgetError, ReadBudget
from rules_setcap.diagnostics import limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO

# The first bytes by which container engines recognize a codec, whatever the name of the file is (containerd
# pkg/archive/compression, moby pkg/archive).
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\0": "xz", b"BZh": "bzip2"}
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)  # A zstd frame without content; zstd:chunked puts its table of contents in some.
# Codecs that no engine reads. A tar whose first name begins with such bytes is still a tar.
_UNSUPPORTED = {
    b"\x04\x22\x4d\x18": "lz4",
    b"\x02\x21\x4c\x18": "lz4",
    b"\x1f\x9d": "compress",
    b"\x1f\xa0": "compress",
    b"\x1f\x1e": "pack",
    b"]\0\0": "lzma",
    b"LZIP": "lzip",
    b"\x89LZO\0": "lzop",
    b"\xff\x06\0\0sN": "snappy",
    b"\xce\xb2\xcf\x81": "brotli",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"PK\x03\x04": "ZIP",
}
_HEAD = 512  # The size of a tar header in bytes.
_CHUNK = 1 << 16  # The bytes of compressed input that one read takes.
LAYER_CODECS = ("none", "gzip", "zstd")
"""The codecs of layers: those that the OCI image-spec has media types for. containerd reads no others."""


class DecompressionError(ValueError):
    """Invalid compressed bytes; the message is a sentence."""


class DecompressedStream:
    """The decompressed bytes of a stream, or the bytes of a stream that is not compressed.

    Attributes:
      codec: "gzip", "zstd", "xz", "bzip2" or "none", recognized by the first bytes.
    """

    def __init__(self, stream: BinaryIO | Any, budget: ReadBudget | None = None) -> None:
        """Reads the first bytes.

        Args:
          stream: an object with read(size).
          budget: the budget of the input; by default, one for this stream alone, for content that is copied.

        Raises:
          DecompressionError: the codec is not supported.
        """
        self._budget = ReadBudget(copies=True) if budget is None else budget
        source = _CompressedSource(stream, self._budget)
        self.codec = source.codec
        if source.unsupported_codec:
            raise DecompressionError(
                f"compressed by {source.unsupported_codec}, which is not supported; compress it by gzip or zstd, or not at all"
            )
        self._price = self._budget.find_price(self.codec)
        make = _find_decompressor(self.codec)
        self._stream: Any = _ConcatenatedStreams(source, make, self.codec) if make else source

    def read(self, size: int) -> bytes:
        """Returns the next bytes; fewer than `size` only at the end.

        Raises:
          DecompressionError: the stream is damaged, or takes more work than the budget allows.
        """
        try:
            data: bytes = self._stream.read(size)
            self._budget.spend_work(len(data), self._price)
        except BudgetError as error:
            raise DecompressionError(str(error)) from None
        except (EOFError, ValueError, OSError, ArithmeticError, MemoryError, zlib.error) as error:
            raise DecompressionError(f"damaged {self.codec}: {_describe_error(error)}") from None
        except Exception as error:
            # zstd and xz have exceptions of their own, in modules that this Python may not have.
            if type(error).__name__ not in ("ZstdError", "LZMAError"):
                raise
            raise DecompressionError(f"damaged {self.codec}: {_describe_error(error)}") from None
        return data


def _find_decompressor(codec: str) -> Callable[[], Any] | None:
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


class _CompressedSource:
    """A compressed stream that recognizes its codec and counts the bytes that are read from it.

    Attributes:
      codec: as for DecompressedStream.
      unsupported_codec: the name of a codec that is not supported, or "".
    """

    def __init__(self, stream: Any, budget: ReadBudget) -> None:
        self._stream, self._budget = stream, budget
        self._head: bytes = stream.read(_HEAD)
        self.codec = next((codec for magic, codec in _MAGIC.items() if self._head.startswith(magic)), "none")
        if len(self._head) >= 4 and int.from_bytes(self._head[:4], "little") in _SKIPPABLE:
            self.codec = "zstd"
        is_known = self.codec != "none" or self._head[257:262] == b"ustar"
        self.unsupported_codec = "" if is_known else _find_unsupported_codec(self._head)

    def read(self, size: int) -> bytes:
        if self._head:
            data = self._head[:size]
            self._head = self._head[size:]
            if len(data) < size:
                data += self._stream.read(size - len(data))
        else:
            data = self._stream.read(size)
        self._budget.add_input(len(data))
        return data


def _find_unsupported_codec(head: bytes) -> str:
    """Returns the codec whose magic number `head` has; "" if none has it, or if `head` is a tar header without magic (v7)."""
    name = next((name for magic, name in _UNSUPPORTED.items() if head.startswith(magic)), "")
    digits = head[148:156].strip(b"\0 ")
    if name and len(head) == _HEAD and digits.isdigit() and not digits.strip(b"01234567"):
        return "" if int(digits, 8) == sum(head[:148] + b" " * 8 + head[156:]) else name
    return name


class _ConcatenatedStreams:
    """The content of compressed streams (members, frames) that follow each other, with nothing between or after them."""

    def __init__(self, source: _CompressedSource, make: Callable[[], Any], codec: str) -> None:
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
    """A decompressor of one gzip member, with the interface of those of bz2 and lzma; zlib checks the CRC and the length."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, size: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, size)
