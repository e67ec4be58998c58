"""Skips parts of a file without reading them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rules_setcap.archive.headers import TarError

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
        """Skips the next bytes; returns how many.

        Raises:
          TarError: the file ends before.
        """
        if self._file.tell() + size > self._size:
            raise TarError(f"ends within the content of an entry, at byte {self._size}")
        self._file.seek(size, os.SEEK_CUR)
        return size
