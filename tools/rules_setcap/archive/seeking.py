"""Skips parts of a file without reading them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO


class SeekingStream:
    """An uncompressed file from whose tar only the headers are needed, and the content of a few members.

    It is for a file whose bytes have been verified, or will be: what is skipped is not hashed.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Goes to the start of a file."""
        file.seek(0)
        self._file, self._size = file, os.fstat(file.fileno()).st_size

    def read(self, size: int) -> bytes:
        """Returns the next bytes; fewer than `size` only at the end."""
        return self._file.read(size)

    def skip(self, size: int) -> int:
        """Skips the next bytes; returns how many, fewer than `size` only at the end."""
        skipped = max(0, min(size, self._size - self._file.tell()))
        self._file.seek(skipped, os.SEEK_CUR)
        return skipped
