"""Our tar headers are byte for byte those of Go's archive/tar."""

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
    """The arguments of tar.format_header()."""

    name: bytes
    kind: bytes
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: bytes = b""
    records: dict[bytes, bytes] | None = None

    def format(self) -> bytes:
        """Returns the header as our code writes it."""
        fields = self._asdict()
        return tar.format_header(fields.pop("name"), fields.pop("kind"), **fields)

    def to_json(self) -> dict[str, Any]:
        """Returns the header as gotar/main.go reads it."""
        text = {key: base64.b64encode(value).decode() for key, value in (("name", self.name), ("link", self.link))}
        records = {key.decode(): base64.b64encode(value).decode() for key, value in (self.records or {}).items()}
        numbers = {key: getattr(self, key) for key in ("mode", "uid", "gid", "size", "mtime")}
        return {**text, **numbers, "records": records, "type": self.kind.decode()}


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory):
    """Returns a function that returns the bytes of headers as Go writes them."""
    program = golang.build(pathlib.Path(__file__).with_name("gotar") / "main.go", tmp_path_factory.mktemp("go"))

    def headers(all_of: list[Header]) -> list[bytes | str]:
        lines = "".join(json.dumps(header.to_json()) + "\n" for header in all_of)
        done = subprocess.run([str(program)], input=lines, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [line if line.startswith("error") else base64.b64decode(line) for line in done.stdout.splitlines()]

    return headers


CAPABILITY = b"SCHILY.xattr.security.capability"


def _encode_xattr(bits: int) -> bytes:
    low, high = (bits & 0xFFFFFFFF).to_bytes(4, "little"), (bits >> 32).to_bytes(4, "little")
    return b"\1\0\0\2" + low + bytes(4) + high + bytes(4)


def _make_edge_cases() -> list[Header]:
    """Returns headers at every limit of every field, with and without a capability."""
    names = [b"a", b"a" * 99, b"a" * 100, b"a" * 101, "naïve".encode(), "日本".encode() * 20, b"a b\n"]
    names += [b"d" * left + b"/" + b"f" * right for left in (1, 99, 154, 155, 156) for right in (1, 99, 100, 101)]
    names += [b"d/" * 78 + b"f" * 99, b"d/" * 127 + b"f", b"d/" * 128 + b"f" * 5, b"/" + b"a" * 100, b"x" * 98 + b"/" + b"y"]
    headers = []
    for records in ({}, {CAPABILITY: _encode_xattr(1 << 10)}):
        for name in names:
            headers.append(Header(name, tar.REGULAR, records=records))
            headers.append(Header(name + b"/", tar.DIRECTORY, records=records))
            for kind in (tar.SYMBOLIC_LINK, tar.HARD_LINK):
                headers.append(Header(b"link", kind, link=name, records=records))
                headers.append(Header(name, kind, link=name, records=records))
        for number in (0, 1, 65532, 8**7 - 1, 8**7, 2**31, 2**32 - 2):
            headers.append(Header(b"f", tar.REGULAR, uid=number, records=records))
            headers.append(Header(b"f", tar.REGULAR, gid=number, records=records))
        headers += [Header(b"f", tar.REGULAR, size=size, records=records) for size in (0, 1, 511, 512, 8**11 - 1, 8**11, 2**40)]
        headers += [Header(b"f", tar.REGULAR, mtime=mtime, records=records) for mtime in (0, 1, 8**11 - 1, 8**11, -1)]
        headers += [Header(b"f", tar.REGULAR, mode=mode, records=records) for mode in (0, 0o644, 0o7777)]
    # Values with bytes from 0x80, NUL and newline; and lengths of a record around the one that takes another digit.
    headers += [Header(b"f", tar.REGULAR, records={CAPABILITY: _encode_xattr(1 << bit)}) for bit in range(len(NAMES))]
    headers += [Header(b"f", tar.REGULAR, records={b"k.k": b"\x80\0\n=" * 300 + b"v" * count}) for count in range(12)]
    headers += [Header(b"f", tar.REGULAR, records={b"k": b"v" * count}) for count in range(90, 100)]
    return headers


def _draw_headers(count: int) -> list[Header]:
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
                records={CAPABILITY: _encode_xattr(chance.randrange(1 << 41))} if chance.random() < 0.4 else {},
            )
        )
    return headers


@pytest.mark.parametrize("headers", [_make_edge_cases(), _draw_headers(4000)], ids=["edges", "random"])
def test_headers_are_those_of_go(go, headers):
    for header, expected in zip(headers, go(headers), strict=True):
        assert header.format() == expected, header


@pytest.mark.parametrize("headers", [_make_edge_cases(), _draw_headers(4000)], ids=["edges", "random"])
def test_headers_of_files_are_the_same_if_they_are_formatted_together(headers):
    together: dict[tuple[int, ...], tar.FileHeaders] = {}
    count = 0
    for header in headers:
        common = (header.mode, header.uid, header.gid, header.mtime)
        for size in {header.size, 0, 511, 512}:
            plain = Header(header.name, tar.REGULAR, *common[:3], size, header.mtime)
            formatted = together.setdefault(common, tar.FileHeaders(*common)).format(plain.name, plain.size)
            assert formatted == plain.format(), plain
            count += 1
    assert count > len(together) > 2


def test_no_header_has_the_record_hdrcharset():
    for bit in range(len(NAMES)):
        data = tar.format_header(b"f", tar.REGULAR, mode=0o755, records={CAPABILITY: _encode_xattr(1 << bit)})
        assert b"hdrcharset" not in data
        assert CAPABILITY + b"=" + _encode_xattr(1 << bit) + b"\n" in data
