"""Parts of seekable files, and bounded temporary copies of streams."""

from __future__ import annotations

import contextlib
import io
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from rules_setcap.diagnostics import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_setcap.diff.content.findings import Budget

CHUNK = 1 << 20
"""Bytes of one read."""


class Window(io.RawIOBase):
    """A part of a seekable file, as a seekable file that can only be read."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        """Reads nothing yet.

        Args:
          file: the file. Windows of one file can be used in turns.
          start: the offset of the first byte.
          size: the number of bytes; fewer are read if the file ends before.
        """
        super().__init__()
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Sets the position."""
        base = {0: 0, 1: self._at, 2: self._size}[whence]
        if base + offset < 0:
            raise OSError("a position before the start")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Returns the position."""
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Returns the next bytes; fewer than `size` only at the end."""
        left = max(self._size - self._at, 0)
        size = left if size is None or size < 0 else min(size, left)
        if size == 0 or self._start + self._at >= 1 << 63:
            return b""
        self._file.seek(self._start + self._at)
        data = self._file.read(size)
        self._at += len(data)
        return data


def open_window(file: BinaryIO, start: int, size: int) -> BinaryIO:
    """Returns a part of a seekable file as a file."""
    return cast("BinaryIO", Window(file, start, size))


class CountedStream:
    """A stream whose bytes a budget counts."""

    def __init__(self, stream: Any, budget: Budget) -> None:
        """Reads nothing yet.

        Args:
          stream: an object with read(size).
          budget: the budget.
        """
        self._stream, self._budget = stream, budget

    def read(self, size: int) -> bytes:
        """Returns the next bytes; fewer than `size` only at the end."""
        data: bytes = self._stream.read(size)
        while 0 < len(data) < size:
            more = self._stream.read(size - len(data))
            if not more:
                break
            data += more
        self._budget.spend(len(data))
        return data


def find_size(file: BinaryIO) -> int:
    """Returns the size of a seekable file in bytes."""
    return file.seek(0, io.SEEK_END)


@contextlib.contextmanager
def copy_stream(stream: Any, most: int = limits.CONTENT_MEMBER) -> Iterator[BinaryIO | None]:
    """Copies a stream to a temporary file.

    Args:
      stream: an object with read(size).
      most: the largest number of bytes to copy.

    Yields:
      The file, or None if the stream has more bytes.
    """
    with tempfile.SpooledTemporaryFile(max_size=CHUNK) as file:
        size = 0
        while data := stream.read(CHUNK):
            size += len(data)
            if size > most:
                yield None
                return
            file.write(data)
        file.seek(0)
        yield cast("BinaryIO", file)
