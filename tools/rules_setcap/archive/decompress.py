"""Reads compressed streams.

A file that decompressors read in different ways is refused. For example, bytes after the last gzip member are an error here:
gzip(1) skips them, and Go's reader fails.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.decompressors import ConcatenatedStreams, DecompressionError, convert_error, find_decompressor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, BinaryIO

__all__ = ["LAYER_CODECS", "DecompressedStream", "DecompressionError"]

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
_PIECE = 1 << 20  # The bytes that are decompressed ahead at once, and skipped at once.
LAYER_CODECS = ("none", "gzip", "zstd")
"""The codecs of layers: those that the OCI image-spec has media types for. containerd reads no others."""


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
        source = _CompressedSource(stream)
        self.codec = source.codec
        if source.unsupported_codec:
            raise DecompressionError(
                f"compressed by {source.unsupported_codec}, which is not supported; compress it by gzip or zstd, or not at all"
            )
        self._price = self._budget.find_price(self.codec)
        make = find_decompressor(self.codec)
        self._source = source
        self._input = 0  # The compressed bytes that the budget has counted.
        self._stream: Any = ConcatenatedStreams(source, make, self.codec) if make else source

    def read(self, size: int) -> bytes:
        """Returns the next bytes; fewer than `size` only at the end.

        Raises:
          DecompressionError: the stream is damaged, or takes more work than the budget allows.
        """
        try:
            data: bytes = self._stream.read(size)
            self._count(len(data), self._source.count)
        except Exception as error:
            raise convert_error(error, self.codec) from None
        return data

    def skip(self, size: int) -> int:
        """Skips the next bytes; returns how many, fewer than `size` only at the end.

        Raises:
          DecompressionError: as read().
        """
        left = size
        while left:
            count = len(self.read(min(left, _PIECE)))
            left -= count
            if not count:
                break
        return size - left

    @contextlib.contextmanager
    def read_ahead(self, consume: Callable[[bytes], object] | None = None, pieces_ahead: int = 0) -> Iterator[AheadStream]:
        """Decompresses in a thread of its own during a with statement.

        Args:
          consume: a function that gets all bytes in one more thread, such as the update() of a hash. It has got all of them when
            the end of the stream has been read.
          pieces_ahead: pieces of 1 MiB that may wait until they are read; 0 for a few.

        Yields:
          The stream. After the block, nothing more can be read.
        """
        from rules_setcap.archive.read_ahead import FEW, ReadAhead

        def decompress() -> tuple[bytes, int] | None:
            data = self._stream.read(_PIECE)
            return (data, self._source.count) if data else None

        def pass_on() -> tuple[bytes, int] | None:
            piece = pieces.take()
            if piece and consume:
                consume(piece[0])
            return piece

        most = max(FEW, pieces_ahead)
        pieces = ReadAhead(decompress, FEW if consume else most)
        try:
            if consume is None:
                yield AheadStream(pieces.take, self._count, self.codec)
                return
            consumed = ReadAhead(pass_on, most)
            try:
                yield AheadStream(consumed.take, self._count, self.codec)
            finally:
                pieces.stop()
                consumed.close()
        finally:
            pieces.close()

    def _count(self, size: int, total_input: int) -> None:
        """Counts a read.

        Args:
          size: the bytes that were read.
          total_input: the compressed bytes that all reads have taken.

        Raises:
          BudgetError: the budget does not allow the read.
        """
        self._budget.add_input(total_input - self._input)
        self._input = total_input
        self._budget.spend_work(size, self._price)


class AheadStream:
    """The bytes of a DecompressedStream that another thread decompresses. The budget is spent where they are read."""

    def __init__(self, take: Callable[[], tuple[bytes, int] | None], count: Callable[[int, int], None], codec: str) -> None:
        """Wraps the pieces.

        Args:
          take: returns the next piece, and the number of compressed bytes until there; None at the end.
          count: counts a read, as DecompressedStream does.
          codec: the codec, for messages.
        """
        self._take, self._count, self._codec = take, count, codec
        self._piece, self._at, self._input = b"", 0, 0

    def read(self, size: int) -> bytes:
        """Returns the next bytes; fewer than `size` only at the end.

        Raises:
          DecompressionError: the stream is damaged, or takes more work than the budget allows.
        """
        try:
            if self._at + size <= len(self._piece):
                data = self._piece[self._at : self._at + size]
                self._at += size
            else:
                parts = [self._piece[self._at :]]
                left = size - len(parts[0])
                while left and self._advance():
                    parts.append(self._piece[:left])
                    self._at = len(parts[-1])
                    left -= self._at
                data = b"".join(parts)
            self._count(len(data), self._input)
        except Exception as error:
            raise convert_error(error, self._codec) from None
        return data

    def skip(self, size: int) -> int:
        """Skips the next bytes without copying them; returns how many, fewer than `size` only at the end.

        Raises:
          DecompressionError: as read().
        """
        left = size
        try:
            while left and (self._at < len(self._piece) or self._advance()):
                count = min(left, len(self._piece) - self._at)
                self._at += count
                left -= count
                self._count(count, self._input)
        except Exception as error:
            raise convert_error(error, self._codec) from None
        return size - left

    def skip_rest(self) -> None:
        """Skips all that is left.

        Raises:
          DecompressionError: as read().
        """
        while self.skip(_PIECE):
            pass

    def _advance(self) -> bool:
        """Goes to the next piece; returns whether there is one."""
        piece = self._take()
        self._piece, self._at = b"", 0
        if piece:
            self._piece, self._input = piece
        return piece is not None


class _CompressedSource:
    """A compressed stream that recognizes its codec and counts the bytes that are read from it.

    Attributes:
      codec: as for DecompressedStream.
      unsupported_codec: the name of a codec that is not supported, or "".
      count: the bytes that were read.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.count = 0
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
        self.count += len(data)
        return data


def _find_unsupported_codec(head: bytes) -> str:
    """Returns the codec whose magic number `head` has; "" if none has it, or if `head` is a tar header without magic (v7)."""
    name = next((name for magic, name in _UNSUPPORTED.items() if head.startswith(magic)), "")
    digits = head[148:156].strip(b"\0 ")
    if name and len(head) == _HEAD and digits.isdigit() and not digits.strip(b"01234567"):
        return "" if int(digits, 8) == sum(head[:148] + b" " * 8 + head[156:]) else name
    return name
