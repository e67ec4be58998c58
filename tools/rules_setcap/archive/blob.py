"""Writes the blob of a layer from the bytes of its tar: compresses, hashes and writes at the same time."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from rules_setcap.archive.compress import Codec

ZEROS = bytes(1 << 20)
"""A piece of a hole of a sparse file. It is recognized by identity: an uncompressed blob gets a hole in its place."""

_UNCOMPRESSED_BLOCK = 1 << 20


class BlobWriter:
    """Takes the bytes of a tar and writes the blob.

    Bytes are collected until they fill a block, so that many small files cost little. A blob of a single block is written
    without threads.

    Attributes:
      size: the size of the blob in bytes, once it is closed.
      room: the number of bytes that are missing to a full block.
    """

    def __init__(self, file: BinaryIO, codec: Codec | None, threads: int) -> None:
        """Writes the header of the codec.

        Args:
          file: the file that the blob is written to.
          codec: the codec; None for an uncompressed blob.
          threads: the number of threads that compress; one more thread hashes the tar, and one writes.
        """
        self.size = 0
        self._file = file
        self._codec = codec
        self._threads = threads
        self._block_size = codec.block_size if codec else _UNCOMPRESSED_BLOCK
        self._parts: list[bytes] = []
        self.room = self._block_size
        self._tar_hash = hashlib.sha256()
        self._blob_hash = hashlib.sha256() if codec else self._tar_hash
        self._pipeline: Any = None
        self._hashing: Any = None
        if codec:
            self._write_blob(codec.header)

    def write(self, data: bytes) -> None:
        """Takes bytes of the tar."""
        if len(data) < self.room:
            self._parts.append(data)
            self.room -= len(data)
            return
        while len(data) >= self.room:
            # Data that is a whole block by itself is not copied.
            room = self.room
            self._parts.append(data if len(data) == room else data[:room])
            data = data[room:]
            self._flush(last=False)
        if data:
            self._parts.append(data)
            self.room -= len(data)

    def write_zeros(self, count: int) -> None:
        """Takes a hole of `count` bytes of the tar."""
        while count:
            piece = ZEROS if count >= len(ZEROS) else ZEROS[:count]
            if self._codec is None and piece is ZEROS:
                self._flush(last=False)  # So that the hole becomes a block by itself.
            self.write(piece)
            count -= len(piece)

    def close(self) -> None:
        """Writes the rest of the blob."""
        if self._parts or self._codec:
            self._flush(last=True)
        if self._pipeline:
            self._pipeline.close()
        if self._hashing:
            self._hashing.close()
        if self._codec:
            self._write_blob(self._codec.finish())

    def abandon(self) -> None:
        """Stops the threads. After close(), it has no effect."""
        for pipeline in (self._pipeline, self._hashing):
            if pipeline:
                pipeline.abandon()

    @property
    def diff_id(self) -> str:
        """The digest of the tar (OCI image-spec, "Layer DiffID")."""
        return "sha256:" + self._tar_hash.hexdigest()

    @property
    def digest(self) -> str:
        """The digest of the blob."""
        return "sha256:" + self._blob_hash.hexdigest()

    def _flush(self, last: bool) -> None:
        """Passes the collected bytes on as a block."""
        block = b"".join(self._parts)
        self._parts.clear()
        self.room = self._block_size
        if not block and not last:
            return

        def hash_block() -> bytes:
            self._tar_hash.update(block)
            return block

        compress = self._codec.add_block(block, last) if self._codec else None
        if last and self._pipeline is None:
            hashed = hash_block()
            self._write_blob(compress() if compress else hashed)
            return
        if self._pipeline is None:
            self._start_threads()
        # One thread hashes the blocks in order.
        if compress:
            self._hashing.add_job(hash_block)
        self._pipeline.add_job(compress or hash_block)

    def _start_threads(self) -> None:
        """Starts the threads that compress and write, and one that hashes the tar.

        Hashing takes as long as compressing on eight cores or more. In a thread of its own, it leaves this one to read files.
        """
        from rules_setcap.archive.pipeline import Pipeline

        self._pipeline = Pipeline(self._write_blob, self._threads if self._codec else 1)
        if self._codec:
            self._hashing = Pipeline(lambda _: None, 1)

    def _write_blob(self, data: bytes) -> None:
        """Writes bytes of the blob."""
        self.size += len(data)
        if self._codec:
            self._blob_hash.update(data)
        if data is ZEROS:
            self._file.seek(len(data), 1)
        else:
            self._file.write(data)
