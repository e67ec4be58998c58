"""The least that making a layer can cost: read, hash, write; no tar, nothing else.

Usage: floor.py none|gzip|zstd SOURCE OUTPUT

With a codec it is that codec's one thread: the library that the packer uses too, the
digests of what goes in and of what comes out.
"""

from __future__ import annotations

import hashlib
import sys
import zlib
from typing import Any

_CHUNK = 1 << 20


def _codec(compression: str) -> Any:
    if compression == "gzip":
        return zlib.compressobj(5, zlib.DEFLATED, 31)
    from compression import zstd

    return zstd.ZstdCompressor(3)


def main(compression: str, source: str, output: str) -> None:
    """Copies a file, hashing it; `compression` as the packer's."""
    diff_id, digest = hashlib.sha256(), hashlib.sha256()
    codec = None if compression == "none" else _codec(compression)
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
