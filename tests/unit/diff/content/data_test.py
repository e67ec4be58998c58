"""Data of an unknown format is compared byte by byte: where it differs, by how much, and what the bytes look like."""

from __future__ import annotations

import io
import random
import struct

import pytest
from comparing import compare

from rules_setcap.diff.content.data import compare_streams

DATA = b"\0\xff" + random.Random(1).randbytes(300_000)


def change(data: bytes, *places: int) -> bytes:
    changed = bytearray(data)
    for place in places:
        changed[place] ^= 0x80
    return bytes(changed)


@pytest.mark.parametrize("seed", range(40))
def test_the_ranges_are_those_of_a_plain_loop(seed):
    print("seed", seed)
    chance = random.Random(seed)
    size = chance.choice([1, 100, 65_536, 65_537, 200_000])
    before = chance.randbytes(size)
    after = bytearray(before)
    for _ in range(chance.randint(0, 20)):
        start = chance.choice([chance.randrange(size), 65_530, 131_070]) % size
        for place in range(start, min(start + chance.randint(1, 12), size)):
            after[place] ^= chance.randint(0, 255)
    after = bytes(after) + chance.randbytes(chance.choice([0, 0, 7]))
    ranges = compare_streams(io.BytesIO(before), io.BytesIO(after))
    expected: list[list[int]] = []
    for place in range(size):
        if before[place] != after[place]:
            if expected and sum(expected[-1]) == place:
                expected[-1][1] += 1
            else:
                expected.append([place, 1])
    assert ranges.differing == sum(length for _, length in expected)
    assert ranges.ranges == len(expected)
    assert ranges.listed == [tuple(pair) for pair in expected[:8]]
    assert ranges.extra == len(after) - size
    assert ranges.equal == (before == after)


def test_one_byte_is_shown():
    difference = compare(DATA, change(DATA, 70_000))
    assert difference.type == "data"
    assert difference.summary == "1 byte differs at byte 70,000"
    row = 70_000 - 70_000 % 16
    assert difference.details[0] == f"- {row:08x}  {DATA[row : row + 16].hex(' ')}  " + difference.details[0][61:]
    assert difference.details[1].startswith(f"+ {row:08x}  ")


def test_ranges_are_counted():
    difference = compare(DATA, change(DATA, 5, 6, 65_535, 65_536, 299_999))
    assert difference.summary == "5 bytes differ in 3 ranges, the first at byte 5"


@pytest.mark.parametrize(
    ("after", "summary"),
    [
        (DATA[:5000] + b"inserted" + DATA[5000:], "8 bytes inserted at byte 5,000"),
        (DATA[:5000] + DATA[5009:], "9 bytes removed at byte 5,000"),
        (DATA[:5000] + b"\1\2\3" + DATA[5010:], "10 -> 3 bytes at byte 5,000; the rest is equal"),
        (DATA + b"more", "the second file has 4 bytes more at its end"),
        (DATA[:-5], "the first file has 5 bytes more at its end"),
        (b"\0" + DATA, "1 byte inserted at byte 1"),
        (b"", "another kind of file; 300,002 -> 0 bytes"),
    ],
)
def test_bytes_that_were_inserted_are_recognized(after, summary):
    difference = compare(DATA, after)
    assert difference.summary == summary


def test_equal_files_are_called_equal():
    assert compare(DATA, DATA).summary == "equal"
    assert compare(b"", b"").summary == "equal"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("place", [1000, 1004, 65_532])
def test_a_binary_timestamp_is_recognized(order, place):
    times = 1_795_726_776, 1_795_730_000
    before, after = (DATA[:place] + struct.pack(order + "I", time) + DATA[place + 4 :] for time in times)
    assert compare(before, after).causes == ("perhaps a timestamp: 2026-11-26 20:59:36 -> 2026-11-26 21:53:20",)


def test_random_words_are_rarely_taken_for_timestamps():
    print("seed 5")
    chance = random.Random(5)
    taken = 0
    for _ in range(1000):
        before, after = (DATA[:1000] + chance.randbytes(4) + DATA[1004:2000] for _ in range(2))
        taken += bool(compare(before, after).causes)
    assert taken < 50


def test_texts_within_data_are_explained():
    before, after = (DATA[:3000] + f"\0/build/{name}/main.c\0".encode() + DATA[3000:6000] for name in ("one", "two"))
    assert compare(before, after).causes == ("embedded path: /build/one/main.c -> /build/two/main.c",)
    before, after = (DATA[:3000] + f"\0Built at {time}:00\0".encode() + DATA[3000:6000] for time in ("10:10", "10:11"))
    assert compare(before, after).causes == ("timestamp: 10:10:00 -> 10:11:00",)


def test_files_of_known_formats_have_their_names():
    for start, kind in {
        b"\x89PNG\r\n\x1a\n": "PNG image",
        b"%PDF-1.7\0": "PDF document",
        b"\xca\xfe\xba\xbe\0\0\0\x41": "Java class",
    }.items():
        assert compare(start + DATA[:99], start + DATA[1:100]).type == kind
