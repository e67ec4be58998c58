"""Reads compressed streams.

Where decompressors disagree about what a file holds, it is refused: bytes after the last gzip member, which gzip(1)
passes over and Go's reader does not take, are an error here.
"""

from __future__ import annotations

import zlib

from rules_setcap.archive.work import Work, WorkError
from rules_setcap.diagnostics import limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable

# As container engines recognize them (containerd pkg/archive/compression, moby pkg/archive), whatever the name says.
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\0": "xz", b"BZh": "bzip2"}
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)  # A zstd frame without content; zstd:chunked puts its table of contents in some.
# What no engine reads; a tar whose first name begins with these bytes is a tar.
_UNREAD = {
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
_HEAD = 512  # Bytes: a header of tar.
_CHUNK = 1 << 16  # Bytes of compressed input at a time.
LAYERS = ("none", "gzip", "zstd")
"""The codecs of layers: the OCI image-spec has media types for these, and containerd reads no others."""


class DecompressionError(ValueError):
    """Invalid compressed bytes; the message is a sentence."""


class Decompressed:
    """The decompressed bytes of a stream; of one that is not compressed, its own.

    Attributes:
      codec: "gzip", "zstd", "xz", "bzip2" or "none", by its first bytes.
    """

    def __init__(self, stream: BinaryIO | Any, work: Work | None = None) -> None:
        """
        Args:
          stream: an object with read(size).
          work: counts what is read; by default, an account for this stream alone whose content is copied.

        Raises:
          DecompressionError: it is compressed by something that is not read here.
        """
        self._work = Work(copies=True) if work is None else work
        self._counted = _Counted(stream, self._work)
        self.codec = self._counted.codec
        if name := self._counted.unread:
            raise DecompressionError(f"compressed by {name}, which is not read; compress it by gzip or zstd, or not at all")
        self._price = self._work.price(self.codec)
        make = _decompressor(self.codec)
        self._stream: Any = _Streams(self._counted, make, self.codec) if make else self._counted

    def read(self, size: int) -> bytes:
        """Returns the next bytes; fewer than `size` only at the end.

        Raises:
          DecompressionError: damaged, or more work than the input allows.
        """
        try:
            data: bytes = self._stream.read(size)
            self._work.spend(len(data), self._price)
        except WorkError as error:
            raise DecompressionError(str(error)) from None
        except (EOFError, ValueError, OSError, ArithmeticError, MemoryError, zlib.error) as error:
            raise DecompressionError(f"damaged {self.codec}: {_reason(error)}") from None
        except Exception as error:
            # zstd and xz have exceptions of their own, in modules that may not be there.
            if type(error).__name__ not in ("ZstdError", "LZMAError"):
                raise
            raise DecompressionError(f"damaged {self.codec}: {_reason(error)}") from None
        return data


def _decompressor(codec: str) -> Callable[[], Any] | None:
    """Returns a function that makes a decompressor of one stream; None for bytes that are not compressed.

    Raises:
      DecompressionError: this Python has none.
    """
    if codec == "gzip":
        return _Gzip
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


def _reason(error: BaseException) -> str:
    """Returns what a library says, with the limit if it is one of ours."""
    text = str(error) or type(error).__name__
    if "too much memory" in text:
        return f"a window that is too large (limit ZSTD_WINDOW_LOG: {1 << limits.ZSTD_WINDOW_LOG >> 20} MiB)"
    if "Memory usage limit" in text or isinstance(error, MemoryError):
        return f"it needs too much memory (limit XZ_MEMORY: {limits.XZ_MEMORY >> 20} MiB)"
    return text


class _Counted:
    """A stream whose start has been looked at, and that counts what is taken from it."""

    def __init__(self, stream: Any, work: Work) -> None:
        self._stream, self._work = stream, work
        self._head: bytes = stream.read(_HEAD)
        self.codec = next((codec for magic, codec in _MAGIC.items() if self._head.startswith(magic)), "none")
        if len(self._head) >= 4 and int.from_bytes(self._head[:4], "little") in _SKIPPABLE:
            self.codec = "zstd"
        self.unread = "" if self.codec != "none" or self._head[257:262] == b"ustar" else _unread(self._head)

    def read(self, size: int) -> bytes:
        if self._head:
            data = self._head[:size]
            self._head = self._head[size:]
            if len(data) < size:
                data += self._stream.read(size - len(data))
        else:
            data = self._stream.read(size)
        self._work.add_input(len(data))
        return data


def _unread(head: bytes) -> str:
    """Returns the codec of bytes that are not read here; "" if none is known, or if they are a tar without magic (v7)."""
    name = next((name for magic, name in _UNREAD.items() if head.startswith(magic)), "")
    digits = head[148:156].strip(b"\0 ")
    if name and len(head) == _HEAD and digits.isdigit() and not digits.strip(b"01234567"):
        return "" if int(digits, 8) == sum(head[:148] + b" " * 8 + head[156:]) else name
    return name


class _Streams:
    """The content of compressed streams (members, frames) one after the other, with nothing between or after them."""

    def __init__(self, source: _Counted, make: Callable[[], Any], codec: str) -> None:
        self._source, self._make = source, make
        self._codec = make()
        self._padded = codec == "xz"  # The xz format has padding, of zeros in fours (1.2.2).
        self._left = b""  # Compressed bytes that were read and not used.
        self._ended = False
        self._buffer, self._at = b"", 0  # Bytes that small reads left.

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
            part = self._some(max(size, _CHUNK))
            if len(part) > size:
                self._buffer, self._at, part = part, size, part[:size]
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _some(self, most: int) -> bytes:
        """Returns some of the next bytes, or none."""
        if self._codec.eof:
            self._next()
            return b""
        fed = b""
        if self._codec.needs_input:
            fed = self._left or self._source.read(_CHUNK)
            self._left = b""
            if not fed:
                raise EOFError("it is truncated")
        data: bytes = self._codec.decompress(fed, most)
        return data

    def _next(self) -> None:
        """Begins the stream after one that has ended."""
        left = self._codec.unused_data
        if self._padded:
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
            self._left, self._codec = left, self._make()


class _Gzip:
    """A decompressor of one gzip member, as those of bz2 and lzma; zlib checks its CRC and its length."""

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
