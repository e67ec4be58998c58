"""Does the least that making a layer takes: it reads, hashes and writes a file, without a tar.

Usage: floor.py none|gzip|zstd SOURCE OUTPUT

With a compression, it compresses on one thread with the library that the packer uses too, and hashes input and output.
"""

from __future__ import annotations

import hashlib
import sys
import zlib
from typing import Any

_CHUNK = 1 << 20


def _make_codec(compression: str) -> Any:
    if compression == "gzip":
        return zlib.compressobj(5, zlib.DEFLATED, 31)
    from compression import zstd

    return zstd.ZstdCompressor(3)


def main(compression: str, source: str, output: str) -> None:
    """Copies and hashes a file.

    Args:
      compression: none, gzip or zstd.
      source: the path of the file.
      output: the path of the copy.
    """
    diff_id, digest = hashlib.sha256(), hashlib.sha256()
    codec = None if compression == "none" else _make_codec(compression)
    buffer = memoryview(bytearray(_CHUNK))
    with open(source, "rb", buffering=0) as read, open(output, "wb", buffering=0) as write:
        while size := read.readinto(buffer):
            data: Any = buffer[:size]
            diff_id.update(data)
            if codec is not None:
                data = codec.compress(data)
                digest.update(data)
            write.write(data)
        if codec is not None:
            data = codec.flush()
            digest.update(data)
            write.write(data)
    print(diff_id.hexdigest(), digest.hexdigest())


if __name__ == "__main__":
    main(*sys.argv[1:])
