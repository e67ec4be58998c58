"""Headers are those of Go's archive/tar, byte for byte."""

from __future__ import annotations

import random
from typing import Any, Dict, Iterator

import pytest
from packer import tar
from unit.packer.packing import GO, RECORD

Case = Dict[str, Any]

KINDS = {b"0": "0", b"1": "1", b"2": "2", b"5": "5"}


def case(name: str, kind: bytes = b"0", **fields: Any) -> Case:
    """Arguments of tar.header()."""
    return {"name": name.encode(), "kind": kind, "mode": 0o755, **fields}


def written_by_go(cases: list[Case]) -> list[bytes]:
    """The headers that Go writes for them, each without what follows."""
    return GO.archives(
        [
            {
                "Name": each["name"],
                "Type": KINDS[each["kind"]],
                "Mode": each["mode"],
                "Uid": each.get("uid", 0),
                "Gid": each.get("gid", 0),
                "Size": each.get("size", 0),
                "Mtime": each.get("mtime", 0),
                "Link": each.get("link", b""),
                "Records": {key.decode(): value for key, value in each.get("records", {}).items()},
                "Bare": True,
            }
        ]
        for each in cases
    )


def compare(cases: list[Case]) -> None:
    """Fails with the first header that differs."""
    for each, expected in zip(cases, written_by_go(cases)):
        assert tar.header(**each) == expected, each


def test_plain_entries() -> None:
    compare(
        [
            case("app/server"),
            case("app/", b"5"),
            case("app/link", b"2", link=b"../lib/x"),
            case("app/hard", b"1", link=b"app/server"),
            case("app/special", mode=0o7777),
            case("app/none", mode=0),
        ]
    )


@pytest.mark.parametrize("kind", [b"0", b"5"])
def test_every_length_of_name(kind: bytes) -> None:
    """Around 100 (name), 155 and 156 (prefix) and 255 and 256 (both), split at every place."""
    slash = "/" if kind == b"5" else ""
    cases = [case("n" * length + slash, kind) for length in range(1, 300)]
    for total in (99, 100, 101, 102, 155, 156, 157, 254, 255, 256, 257, 300):
        for at in range(1, total - 1):
            cases.append(case("d" * at + "/" + "n" * (total - at - 1) + slash, kind))
    compare(cases)


def test_every_length_of_link() -> None:
    compare([case("l", kind, link=b"t" * length) for kind in (b"1", b"2") for length in range(1, 260)])


def test_slashes_at_the_cut() -> None:
    """Where the name field ends in "/", and where what is left of a name in ASCII has empty parts."""
    cases = []
    for before in range(90, 104):
        for middle in ("/", "/é/", "/é/é/", "/é/é/é/", "é/", "/é"):
            for kind, slash in ((b"0", ""), (b"5", "/")):
                cases.append(case("a" * before + middle + "b" * 40 + slash, kind))
                cases.append(case("a" * before + middle + "é" + slash, kind))
    for each in list(cases):
        cases.append({**each, "kind": b"2", "name": b"l", "link": each["name"]})
    compare(cases)


def test_names_in_other_scripts() -> None:
    compare(
        [
            case(name + slash, kind, records=records)
            for name in ("é", "日本", "é/a", "a/é", "é/é", "a/é/b", "\U0001f600", "a\u0301", "é" * 60, "x\x7fy", "x\ny")
            for kind, slash in ((b"0", ""), (b"5", "/"))
            for records in ({}, {RECORD.encode(): b"\x80\n\0"})
        ]
    )


@pytest.mark.parametrize("field", ["uid", "gid", "size", "mtime"])
def test_numbers_around_the_width_of_their_field(field: str) -> None:
    edges = [0, 1, 0o7777777, 0o10000000, 0xFFFFFFFE, 0o77777777777, 0o100000000000, 1 << 40, 1 << 62]
    compare([case("f", **{field: edge}) for edge in edges if field not in ("uid", "gid") or edge < 1 << 32])


def test_times_before_1970() -> None:
    compare([case("f", mtime=mtime) for mtime in (-1, -86400, -62135596799)])


def test_records_of_any_bytes() -> None:
    """The length of a record counts its own digits: every length around 10, 100 and 1000."""
    every_byte = bytes(range(256))
    cases = [case("f", records={RECORD.encode(): every_byte * 4})]
    for length in [*range(0, 120), *range(920, 1020)]:
        cases.append(case("f", records={RECORD.encode(): b"\xff" * length}))
        cases.append(case("f", records={b"SCHILY.xattr.u": b"\n" * length}))
    cases.append(case("é" * 60, uid=1 << 31, records={RECORD.encode(): b"\0", b"SCHILY.xattr.user.z": b"z", b"A": b"a"}))
    compare(cases)


def generated(seed: int, count: int) -> Iterator[Case]:
    """Entries of every shape: reproducible by their seed."""
    draw = random.Random(seed)

    def name() -> str:
        alphabet = draw.choice(["ab", "abc.-_", "aé", "éß", "a\U0001f389b", "x\n\x7f y"])
        total = draw.choice([3, 20, 95, 99, 100, 101, 102, 150, 155, 156, 157, 200, 254, 255, 256, 257, 258, 300, 500])
        text = ""
        while len(text) < total:
            part = "".join(draw.choices(alphabet, k=draw.choice([1, 1, 2, 5, 20, 50, 98, 99, 100, 101, 120, 155, 156])))
            text += ("_" if part in (".", "..") else part) + "/"
        return text[:total].rstrip("/.").replace("/./", "/_/").replace("/../", "/__/") or "a"

    for _ in range(count):
        kind = draw.choice(list(KINDS))
        entry = case(name() + ("/" if kind == b"5" else ""), kind)
        entry["mode"] = draw.choice([0, 0o755, 0o644, 0o7777, 0o4755])
        entry["uid"] = draw.choice([0, 1, 65532, 0o7777777, 0o10000000, 0xFFFFFFFE])
        entry["gid"] = draw.choice([0, 0, 5, 0o7777777, 0o10000000])
        entry["mtime"] = draw.choice([0, 0, 1, 1700000000, 0o77777777777, 0o100000000000, -1])
        if kind == b"0":
            entry["size"] = draw.choice([0, 1, 512, 0o77777777777, 0o100000000000, 1 << 40])
        if kind in (b"1", b"2"):
            entry["link"] = (draw.choice(["", "/", "../"]) + name() + draw.choice(["", "/"])).encode()
        if draw.random() < 0.5:
            entry["records"] = {RECORD.encode(): bytes(draw.choices(range(256), k=draw.choice([20, 24])))}
        yield entry


@pytest.mark.parametrize("seed", range(4))
def test_generated_entries(seed: int) -> None:
    compare(list(generated(seed, 5000)))
