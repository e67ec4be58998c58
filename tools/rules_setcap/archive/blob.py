"""The blob of a layer: the tar as it comes, hashed, compressed, hashed again and written, all at once."""

from __future__ import annotations

import hashlib

from rules_setcap.archive.compress import Frames, Gzip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable

ZEROS = bytes(1 << 20)
"""A hole of a sparse file. By identity: where the tar is stored as it is, it becomes a hole again."""

_PLAIN = 1 << 20


class Blob:
    """Takes the bytes of a tar.

    What is shorter than a block is gathered, so that many small files cost little; a
    layer of one block needs no thread.

    Attributes:
      size: of the blob, in bytes, once it is closed.
    """

    def __init__(self, file: BinaryIO, codec: Gzip | Frames | None, threads: int) -> None:
        """
        Args:
          file: where the blob is written.
          codec: None to store the tar as it is.
          threads: how many compress; one more writes.
        """
        self.size = 0
        self._file = file
        self._codec = codec
        self._threads = threads
        self._block = codec.block if codec else _PLAIN
        self._parts: list[bytes] = []
        self.room = self._block  # Bytes until a block is full.
        self._diff = hashlib.sha256()
        self._hash = hashlib.sha256() if codec else self._diff
        self._pipeline: Any = None
        if codec:
            self._out(codec.head)

    def write(self, data: bytes) -> None:
        """Takes bytes of the tar."""
        if len(data) < self.room:
            self._parts.append(data)
            self.room -= len(data)
            return
        while len(data) >= self.room:
            # A whole block, or what completes one; not copied if it is one by itself.
            room = self.room
            self._parts.append(data if len(data) == room else data[:room])
            data = data[room:]
            self._flush(last=False)
        if data:
            self._parts.append(data)
            self.room -= len(data)

    def zeros(self, count: int) -> None:
        """Takes a hole of `count` bytes."""
        while count:
            piece = ZEROS if count >= len(ZEROS) else ZEROS[:count]
            if self._codec is None and piece is ZEROS:
                self._flush(last=False)  # So that the hole is a block by itself.
            self.write(piece)
            count -= len(piece)

    def close(self) -> None:
        """Writes the rest."""
        if self._parts or self._codec:
            self._flush(last=True)
        if self._pipeline:
            self._pipeline.close()
        if self._codec:
            self._out(self._codec.tail())

    def abandon(self) -> None:
        """Stops what is under way."""
        if self._pipeline:
            self._pipeline.abandon()

    @property
    def diff_id(self) -> str:
        """Digest of the tar (OCI image-spec, "Layer DiffID")."""
        return "sha256:" + self._diff.hexdigest()

    @property
    def digest(self) -> str:
        """Digest of the blob."""
        return "sha256:" + self._hash.hexdigest()

    def _flush(self, last: bool) -> None:
        """Sends what is gathered on its way."""
        block = b"".join(self._parts)
        self._parts.clear()
        self.room = self._block
        if not block and not last:
            return
        job = self._job(block, last)
        if last and self._pipeline is None:
            self._out(job())
            return
        if self._pipeline is None:
            from rules_setcap.archive.pipeline import Pipeline

            self._pipeline = Pipeline(self._out, self._threads if self._codec else 1)
        self._pipeline.put(job)

    def _job(self, block: bytes, last: bool) -> Callable[[], bytes]:
        """What turns a block of the tar into one of the blob, in another thread."""
        if self._codec:
            self._diff.update(block)
            return self._codec.job(block, last)

        def hashed() -> bytes:  # In order: where nothing is compressed, one thread does it.
            self._diff.update(block)
            return block

        return hashed

    def _out(self, data: bytes) -> None:
        """Writes a piece of the blob."""
        self.size += len(data)
        if self._codec:
            self._hash.update(data)
        if data is ZEROS:
            self._file.seek(len(data), 1)
        else:
            self._file.write(data)
