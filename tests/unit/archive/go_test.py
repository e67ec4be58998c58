"""Tar headers, byte for byte those of Go's archive/tar."""

from __future__ import annotations

import base64
import json
import pathlib
import random
import subprocess
from typing import Any, NamedTuple

import pytest

from rules_setcap.archive import tar
from rules_setcap.capabilities.names import NAMES
from support import go as golang


class Header(NamedTuple):
    """The arguments of tar.header."""

    name: bytes
    kind: bytes
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: bytes = b""
    records: dict[bytes, bytes] = {}

    def ours(self) -> bytes:
        fields = self._asdict()
        return tar.format_header(fields.pop("name"), fields.pop("kind"), **fields)

    def json(self) -> dict[str, Any]:
        text = {key: base64.b64encode(value).decode() for key, value in (("name", self.name), ("link", self.link))}
        records = {key.decode(): base64.b64encode(value).decode() for key, value in self.records.items()}
        numbers = {key: getattr(self, key) for key in ("mode", "uid", "gid", "size", "mtime")}
        return {**text, **numbers, "records": records, "type": self.kind.decode()}


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory):
    """A function from headers to Go's bytes for them."""
    program = golang.build(pathlib.Path(__file__).with_name("gotar") / "main.go", tmp_path_factory.mktemp("go"))

    def headers(all_of: list[Header]) -> list[bytes | str]:
        lines = "".join(json.dumps(each.json()) + "\n" for each in all_of)
        done = subprocess.run([str(program)], input=lines, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [line if line.startswith("error") else base64.b64decode(line) for line in done.stdout.splitlines()]

    return headers


CAPABILITY = b"SCHILY.xattr.security.capability"


def _xattr(bits: int) -> bytes:
    low, high = (bits & 0xFFFFFFFF).to_bytes(4, "little"), (bits >> 32).to_bytes(4, "little")
    return b"\1\0\0\2" + low + bytes(4) + high + bytes(4)


def _edges() -> list[Header]:
    """Every boundary of every field, by itself and together with a capability."""
    names = [b"a", b"a" * 99, b"a" * 100, b"a" * 101, "naïve".encode(), "日本".encode() * 20, b"a b\n"]
    names += [b"d" * left + b"/" + b"f" * right for left in (1, 99, 154, 155, 156) for right in (1, 99, 100, 101)]
    names += [b"d/" * 78 + b"f" * 99, b"d/" * 127 + b"f", b"d/" * 128 + b"f" * 5, b"/" + b"a" * 100, b"x" * 98 + b"/" + b"y"]
    headers = []
    for records in ({}, {CAPABILITY: _xattr(1 << 10)}):
        for name in names:
            headers.append(Header(name, tar.REGULAR, records=records))
            headers.append(Header(name + b"/", tar.DIRECTORY, records=records))
            for kind in (tar.SYMBOLIC_LINK, tar.HARD_LINK):
                headers.append(Header(b"link", kind, link=name, records=records))
                headers.append(Header(name, kind, link=name, records=records))
        for number in (0, 1, 65532, 8**7 - 1, 8**7, 2**31, 2**32 - 2):
            headers.append(Header(b"f", tar.REGULAR, uid=number, records=records))
            headers.append(Header(b"f", tar.REGULAR, gid=number, records=records))
        for size in (0, 1, 511, 512, 8**11 - 1, 8**11, 2**40):
            headers.append(Header(b"f", tar.REGULAR, size=size, records=records))
        for mtime in (0, 1, 8**11 - 1, 8**11, -1):
            headers.append(Header(b"f", tar.REGULAR, mtime=mtime, records=records))
        for mode in (0, 0o644, 0o7777):
            headers.append(Header(b"f", tar.REGULAR, mode=mode, records=records))
    # Bytes >= 0x80, NUL and newline: each capability alone, and every length of a record around a digit more.
    headers += [Header(b"f", tar.REGULAR, records={CAPABILITY: _xattr(1 << bit)}) for bit in range(len(NAMES))]
    headers += [Header(b"f", tar.REGULAR, records={b"k.k": b"\x80\0\n=" * 300 + b"v" * count}) for count in range(12)]
    headers += [Header(b"f", tar.REGULAR, records={b"k": b"v" * count}) for count in range(90, 100)]
    return headers


def _random(count: int) -> list[Header]:
    chance = random.Random(7)
    parts = ["a", "usr", "x" * 50, "y" * 99, "z" * 101, "é", "日本語", "with space", "a.b"]

    def name() -> bytes:
        return "/".join(chance.choice(parts) for _ in range(chance.randint(1, 6))).encode()

    headers = []
    for _ in range(count):
        kind = chance.choice((tar.REGULAR, tar.DIRECTORY, tar.SYMBOLIC_LINK, tar.HARD_LINK))
        headers.append(
            Header(
                name() + (b"/" if kind == tar.DIRECTORY else b""),
                kind,
                mode=chance.randrange(0o10000),
                uid=chance.choice((0, 1000, 1 << 21, 1 << 31)),
                gid=chance.choice((0, 1000, 1 << 21, 1 << 31)),
                size=chance.choice((0, 5, 1 << 33, 1 << 34)) if kind == tar.REGULAR else 0,
                mtime=chance.choice((0, 1700000000, 1 << 33, -5)),
                link=name() if kind in (tar.SYMBOLIC_LINK, tar.HARD_LINK) else b"",
                records={CAPABILITY: _xattr(chance.randrange(1 << 41))} if chance.random() < 0.4 else {},
            )
        )
    return headers


@pytest.mark.parametrize("headers", [_edges(), _random(4000)], ids=["edges", "random"])
def test_headers_are_those_of_go(go, headers):
    theirs = go(headers)
    assert len(theirs) == len(headers)
    for header, expected in zip(headers, theirs):
        assert header.ours() == expected, header


def test_no_header_says_hdrcharset():
    for bit in range(len(NAMES)):
        data = tar.format_header(b"f", tar.REGULAR, mode=0o755, records={CAPABILITY: _xattr(1 << bit)})
        assert b"hdrcharset" not in data
        assert CAPABILITY + b"=" + _xattr(1 << bit) + b"\n" in data
