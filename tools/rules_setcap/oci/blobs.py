"""Locates blobs in OCI image layouts, and computes digests while a blob is read."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.diagnostics.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Protocol

    class Readable(Protocol):
        """A stream of bytes."""

        def read(self, size: int, /) -> bytes:
            """Returns the next bytes, at most `size`; b"" at the end."""


BLOBS = os.path.join("blobs", "sha256")
"""The directory of blobs in a layout: OCI image-spec, "Image Layout"."""

CHUNK = 1 << 20
"""Bytes that are read at once."""


def blob_path(layout: str, digest: str) -> str:
    """Returns the path of a blob in a layout.

    Args:
      layout: the path of the layout; "" for a path within the layout.
      digest: a valid digest.
    """
    return os.path.join(layout, BLOBS, digest.removeprefix("sha256:"))


def map_fetched_blobs(paths: Iterable[str]) -> dict[str, str]:
    """Returns the paths of blobs by digest.

    Args:
      paths: the paths; the names of the files are the hexadecimal digests.
    """
    return {f"sha256:{os.path.basename(path)}": path for path in paths}


class HashingReader:
    """A stream that computes the digest and the size of what is read from another stream."""

    def __init__(self, stream: Readable) -> None:
        """Wraps a stream."""
        self._stream, self._hash = stream, hashlib.sha256()
        self._size = 0

    def read(self, size: int) -> bytes:
        """Returns the next bytes, at most `size`; b"" at the end."""
        data = self._stream.read(size)
        self._hash.update(data)
        self._size += len(data)
        return data

    def read_rest(self) -> tuple[str, int]:
        """Reads what is left; returns the digest and the size of the whole stream."""
        while self.read(CHUNK):
            pass
        return "sha256:" + self._hash.hexdigest(), self._size


class VerifiedBlob:
    """A context manager that opens a blob, and verifies it against its descriptor when the block ends.

    The end of the block reads what the block did not, and raises InputError if the digest or the size differs.
    """

    def __init__(self, path: str, descriptor: Mapping[str, Any], place: str, *, has_digest: bool = False) -> None:
        """Prepares the opening of a blob.

        Args:
          path: the path of the blob.
          descriptor: a valid descriptor.
          place: what has the blob, for messages: the path of the layout, or of the blob.
          has_digest: whether the blob is known to have the digest, so that it is not read for that. Its size is verified.
        """
        self._path, self._descriptor, self._place, self._has_digest = path, descriptor, place, has_digest

    def __enter__(self) -> Any:
        try:
            self._file = open_regular(self._path)
        except OSError as error:
            what = f"{self._descriptor['digest']} cannot be read: {error.strerror}"
            if self._descriptor.get("urls"):
                what += "; the layer is at the URLs of its descriptor, and must be in the layout to be read"
            raise InputError([format_problem("base", self._place, what)]) from None
        if self._has_digest:
            return self._file
        self._reader = HashingReader(self._file)
        return self._reader

    def __exit__(self, kind: object, *_rest: object) -> None:
        with self._file:
            if kind is not None:
                return
            if self._has_digest:
                digest, size = self._descriptor["digest"], os.fstat(self._file.fileno()).st_size
            else:
                digest, size = self._reader.read_rest()
        if (size, digest) != (self._descriptor["size"], self._descriptor["digest"]):
            what = f"has {size} bytes and digest {digest}"
            raise InputError([format_problem("base", self._place, f"{self._descriptor['digest']} {what}")])
