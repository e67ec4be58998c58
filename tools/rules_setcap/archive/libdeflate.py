"""libdeflate, by its C interface (libdeflate.h).

It makes smaller gzip than zlib does in less than half the time. It has no streams, so
each block becomes a member by itself.
"""

from __future__ import annotations

import ctypes
import functools


class Library:
    """A shared library that has libdeflate's functions; other threads go on while they run."""

    def __init__(self, path: str) -> None:
        """
        Args:
          path: of the library.

        Raises:
          OSError: it cannot be loaded, or is another library.
        """
        # Without a slash the loader would look among the system's libraries.
        self._functions = _load(path if "/" in path else f"./{path}")

    def gzip(self, data: bytes, level: int) -> bytes:
        """A member of gzip (RFC 1952): no name, no time.

        Args:
          data: what is in it.
          level: 1 (fast) to 12 (small).

        Raises:
          MemoryError: there is none for it.
        """
        functions = self._functions
        compressor = functions.libdeflate_alloc_compressor(level)
        if not compressor:
            raise MemoryError
        try:
            bound = functions.libdeflate_gzip_compress_bound(compressor, len(data))
            member = ctypes.create_string_buffer(bound)
            size = functions.libdeflate_gzip_compress(compressor, data, len(data), member, bound)
        finally:
            functions.libdeflate_free_compressor(compressor)
        return ctypes.string_at(member, size)


@functools.lru_cache
def _load(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    try:
        library.libdeflate_alloc_compressor.argtypes, library.libdeflate_alloc_compressor.restype = [ctypes.c_int], pointer
        library.libdeflate_free_compressor.argtypes, library.libdeflate_free_compressor.restype = [pointer], None
        library.libdeflate_gzip_compress_bound.argtypes, library.libdeflate_gzip_compress_bound.restype = [pointer, size], size
        library.libdeflate_gzip_compress.argtypes = [pointer, ctypes.c_char_p, size, pointer, size]
        library.libdeflate_gzip_compress.restype = size
    except AttributeError as error:
        raise OSError(f"not libdeflate: {error}") from None
    return library
