"""Streams that another thread decompresses give the bytes, the errors and the costs of those that are decompressed where they are read."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import random
import threading
from collections.abc import Callable

import pytest
from compression import zstd

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.decompress import DecompressedStream, DecompressionError
from rules_setcap.archive.read_ahead import ReadAhead
from rules_setcap.diagnostics import limits

CODECS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": lambda data: gzip.compress(data, 1),
    "zstd": zstd.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "bzip2": bz2.compress,
}
CONTENT = bytes(3 << 20) + random.Random(1).randbytes(1 << 20) + b"end of it" * 300_000


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("codec", CODECS)
def test_reads_and_skips_of_any_size_give_the_same_bytes(codec):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    hashed = hashlib.sha256()
    at = 0
    with DecompressedStream(io.BytesIO(CODECS[codec](CONTENT))).read_ahead(hashed.update) as ahead:
        while at < len(CONTENT):
            size = rng.choice((1, 512, 4000, 1 << 20, 3 << 20))
            left = len(CONTENT) - at
            if rng.random() < 0.5:
                assert ahead.read(size) == CONTENT[at : at + size]
            else:
                assert ahead.skip(size) == min(size, left)
            at += min(size, left)
        assert (ahead.read(1), ahead.skip(1)) == (b"", 0)
    assert hashed.digest() == hashlib.sha256(CONTENT).digest()


@pytest.mark.parametrize("codec", [name for name in CODECS if name != "none"])
def test_a_damaged_stream_is_refused_with_the_same_message(codec):
    truncated = CODECS[codec](CONTENT)[:-5]
    with pytest.raises(DecompressionError) as plain:
        stream = DecompressedStream(io.BytesIO(truncated))
        while stream.read(1 << 20):
            pass
    for consume in (None, hashlib.sha256().update):
        with (
            pytest.raises(DecompressionError) as ahead,
            DecompressedStream(io.BytesIO(truncated)).read_ahead(consume) as stream,
        ):
            stream.skip_rest()
        assert str(ahead.value) == str(plain.value)


def test_a_budget_refuses_the_same_read(monkeypatch):
    monkeypatch.setattr(limits, "WORK_FREE", 1 << 24)
    compressed = gzip.compress(bytes(64 << 20))

    def count_reads(read: Callable[[int], bytes]) -> int:
        count = 0
        with pytest.raises(DecompressionError, match="too much work"):
            while read(10_000):
                count += 1
        return count

    plain = count_reads(DecompressedStream(io.BytesIO(compressed), ReadBudget(1000)).read)
    with DecompressedStream(io.BytesIO(compressed), ReadBudget(1000)).read_ahead() as ahead:
        assert count_reads(ahead.read) == plain > 10


@pytest.mark.parametrize("consume", [None, hashlib.sha256().update])
def test_a_block_may_end_before_the_stream(consume):
    with DecompressedStream(io.BytesIO(gzip.compress(bytes(64 << 20)))).read_ahead(consume) as ahead:
        assert ahead.read(100) == bytes(100)
    with (
        pytest.raises(KeyboardInterrupt),
        DecompressedStream(io.BytesIO(gzip.compress(bytes(64 << 20)))).read_ahead(consume),
    ):
        raise KeyboardInterrupt


def test_an_error_of_the_consumer_is_raised():
    def fail(_data: bytes) -> None:
        raise LookupError("of the consumer")

    with (
        pytest.raises(LookupError, match="of the consumer"),
        DecompressedStream(io.BytesIO(bytes(9 << 20))).read_ahead(fail) as ahead,
    ):
        ahead.skip_rest()


def test_the_last_result_is_given_again():
    results = iter([1, 2, 0])
    ahead = ReadAhead(lambda: next(results))
    assert [ahead.take() for _ in range(5)] == [1, 2, 0, 0, 0]
    ahead.close()


def test_no_more_results_are_made_than_are_needed_soon():
    made = []
    ahead = ReadAhead(lambda: made.append(1) or 1)
    for _ in range(10):
        assert ahead.take() == 1
    ahead.close()
    assert 10 <= len(made) <= 20
