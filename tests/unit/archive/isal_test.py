"""gzip by the PyPI package isal gives the bytes that zlib gives, and refuses what zlib refuses."""

from __future__ import annotations

import gzip
import io
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from isal import isal_zlib

from rules_setcap.archive import decompressors
from rules_setcap.archive.decompress import DecompressedStream, DecompressionError

CONTENT = random.Random(1).randbytes(3000) + b"a" * 100_000 + bytes(random.Random(2).choices(b"abcdef", k=50_000))
MEMBER = gzip.compress(CONTENT, 6, mtime=0)
HEADER_CRC = zlib.crc32(MEMBER[:3] + b"\x02" + MEMBER[4:10]) & 0xFFFF


def _add_field(flag: int, field: bytes) -> bytes:
    """Returns the member with another field in its header (RFC 1952, 2.3)."""
    return MEMBER[:3] + bytes([flag]) + MEMBER[4:10] + field + MEMBER[10:]


STREAMS = {
    "one member": MEMBER,
    "two members": MEMBER * 2,
    "an empty member": gzip.compress(b"") + MEMBER,
    "extra field": _add_field(4, b"\2\0ab"),
    "name": _add_field(8, b"name\0"),
    "long name": _add_field(8, b"n" * 300_000 + b"\0"),
    "header CRC": _add_field(2, HEADER_CRC.to_bytes(2, "little")),
    "wrong header CRC": _add_field(2, (HEADER_CRC ^ 1).to_bytes(2, "little")),
    "reserved flag": _add_field(0x80, b""),
    "reserved flag in a second member": MEMBER + _add_field(0x20, b""),
    "another method": MEMBER[:2] + b"\7" + MEMBER[3:],
    "truncated header": MEMBER[:5],
    "truncated content": MEMBER[:1000],
    "truncated trailer": MEMBER[:-3],
    "wrong CRC": MEMBER[:-8] + b"abcd" + MEMBER[-4:],
    "wrong size": MEMBER[:-4] + b"abcd",
    "zeros after it": MEMBER + bytes(8),
    "something after it": MEMBER + b"x",
}


def _read(data: bytes, inflate: Callable[[int], Any], monkeypatch) -> bytes | None:
    """Returns the content of a stream; None if it is refused."""
    monkeypatch.setattr(decompressors, "_find_inflate", lambda: inflate)
    parts = []
    try:
        stream = DecompressedStream(io.BytesIO(data))
        while part := stream.read(5000):
            parts.append(part)
    except DecompressionError as error:
        assert str(error).startswith("damaged gzip: ")
        return None
    return b"".join(parts)


def test_isal_is_used_where_it_is_installed():
    assert decompressors._find_inflate() is isal_zlib.decompressobj


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_gives_the_same_bytes(name, monkeypatch):
    expected = _read(STREAMS[name], zlib.decompressobj, monkeypatch)
    assert _read(STREAMS[name], isal_zlib.decompressobj, monkeypatch) == expected


def test_damaged_streams_give_the_same_bytes(monkeypatch):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    refused = 0
    for _ in range(2000):
        data = bytearray(gzip.compress(bytes(rng.choices(b"abcdefgh", k=rng.randrange(3000))), rng.randrange(1, 10), mtime=0))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(4, len(data))] = rng.randrange(256)
        expected = _read(bytes(data), zlib.decompressobj, monkeypatch)
        assert _read(bytes(data), isal_zlib.decompressobj, monkeypatch) == expected
        refused += expected is None
    assert 1000 < refused < 2000
