"""Makes tars with any header, in pieces, so that making hostile inputs takes little memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Iterable
from typing import Any

END = bytes(1024)
CAPABILITY = (b"SCHILY.xattr.security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
MIB = 1 << 20


def make_header(name: bytes, size: int = 0, kind: bytes = b"0", mode: int = 0o755, link: bytes = b"") -> bytes:
    """Returns a ustar header. Names that are longer than their fields are cut."""
    block = bytearray(512)
    for at, field in (
        (0, name[:100]),
        (100, b"%07o\0" % mode),
        (108, b"0000000\0" * 2),
        (124, b"%011o\0" % size if size < 1 << 33 else b"\x80" + size.to_bytes(11, "big")),
        (136, b"00000000000\0"),
        (148, b"        "),
        (156, kind),
        (157, link[:100]),
        (257, b"ustar\x0000"),
        (329, b"0000000\0" * 2),
    ):
        block[at : at + len(field)] = field
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pad(data: bytes) -> bytes:
    """Returns data with zeros up to a whole block."""
    return data + bytes(-len(data) % 512)


def make_record(key: bytes, value: bytes) -> bytes:
    """Returns a pax record."""
    size = len(key) + len(value) + 3
    length = size + len(str(size))
    length = size + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def make_pax_header(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """Returns a pax header."""
    data = b"".join(make_record(key, value) for key, value in records)
    return make_header(b"PaxHeaders/x", len(data), kind, 0o644) + pad(data)


def make_file(name: bytes, content: bytes = b"", *records: tuple[bytes, bytes], mode: int = 0o755) -> bytes:
    """Returns the entry of a file with its content, after a pax header if there are records."""
    return (make_pax_header(*records) if records else b"") + make_header(name, len(content), b"0", mode) + pad(content)


def make_zeros(name: bytes, size: int, mode: int = 0o755) -> Iterable[bytes]:
    """Yields the entry of a file of zeros in pieces."""
    yield make_header(name, size, b"0", mode)
    for _ in range(size // MIB):
        yield bytes(MIB)
    yield bytes(size % MIB + -size % 512)


def compress(codec: str, parts: Iterable[bytes]) -> bytes:
    """Returns the compressed parts; the codec is gzip, bzip2, xz, zstd (with Python 3.14) or none."""
    made = io.BytesIO()
    if codec == "none":
        return b"".join(parts)
    compressor: Any
    if codec == "gzip":
        with gzip.GzipFile("", "wb", 6, made, mtime=0) as stream:
            for part in parts:
                stream.write(part)
        return made.getvalue()
    if codec == "bzip2":
        compressor = bz2.BZ2Compressor()
    elif codec == "xz":
        compressor = lzma.LZMACompressor(preset=1)
    else:
        from compression import zstd

        compressor = zstd.ZstdCompressor(level=3)
    return b"".join([*(compressor.compress(part) for part in parts), compressor.flush()])


def compress_zeros_to_zstd(size: int) -> bytes:
    """Returns the smallest zstd frame of zeros, which has blocks of one repeated byte (RFC 8878, 3.1.1.2).

    Args:
      size: the number of zeros, a multiple of 128 KiB.
    """
    block = (128 << 10) << 3 | 1 << 1
    count = size // (128 << 10)
    # A window of 128 KiB (exponent 7, mantissa 0), no content size, no checksum.
    return (
        b"\x28\xb5\x2f\xfd\x00\x38"
        + (block.to_bytes(3, "little") + b"\0") * (count - 1)
        + (block | 1).to_bytes(3, "little")
        + b"\0"
    )
