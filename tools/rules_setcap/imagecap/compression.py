"""Chooses what compresses the layers that imagecap writes."""

from __future__ import annotations

import glob
import importlib.util
import os

from rules_setcap.archive.compress import make_codec
from rules_setcap.diagnostics.errors import InputError, format_problem

VARIABLE = "IMAGECAP_LIBDEFLATE"
"""The environment variable with the path of libdeflate's shared library."""
THREADS = 8
"""The most threads that compress a layer; the bytes do not depend on it."""


def count_threads() -> int:
    """Returns the number of threads that compress."""
    return min(THREADS, os.cpu_count() or 1)


def choose_codec(compression: str) -> tuple[str, str]:
    """Returns the compression of a layer as layer_writer.write_layer() takes it, and the path of the library, "" for zlib.

    Args:
      compression: a value of --compression.

    Raises:
      InputError: the library is missing, or gives other bytes than on other machines.
    """
    kind = "gzip" if compression == "zlib" else compression
    library = _find_libdeflate() if compression == "gzip" else ""
    try:
        make_codec(kind, 0, library)
    except InputError as error:
        # The messages name attributes of rules.
        reason = error.problems[0].partition('": ')[2].partition("; ")[0]
        others = ", ".join(other for other in ("gzip", "zlib", "zstd", "none") if other != compression)
        raise InputError([format_problem("--compression", compression, f"{reason}; write one of {others}")]) from None
    return kind, library


def _find_libdeflate() -> str:
    """Returns the path of libdeflate's shared library: of the environment variable, the PyPI package deflate, or the system.

    Raises:
      InputError: there is none.
    """
    if path := os.environ.get(VARIABLE):
        return path
    import ctypes.util  # Only this search needs it, and not every Python has it.

    package = importlib.util.find_spec("deflate")
    for directory in package.submodule_search_locations or () if package else ():
        for path in sorted(glob.glob(os.path.join(glob.escape(directory), "*.so"))):
            return path
    for name in ("libdeflate.so.0", ctypes.util.find_library("deflate")):
        if name and (path := _find_in_loader(name)):
            return path
    what = (
        f"libdeflate is missing, which compresses as the rules do; install the PyPI package deflate, set {VARIABLE} to the path of "
        "libdeflate.so.0, or write --compression zlib, zstd or none, whose digests are other ones"
    )
    raise InputError([format_problem("--compression", "gzip", what)])


def _find_in_loader(name: str) -> str:
    """Returns the path of a library that the dynamic loader finds; "" if it finds none."""
    import ctypes

    try:
        ctypes.CDLL(name)
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            return next((line.split(maxsplit=5)[5].strip() for line in maps if "/libdeflate" in line), "")
    except OSError:
        return ""
