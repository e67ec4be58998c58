"""Draws random archives, with headers that few programs or no program write."""

from __future__ import annotations

import random

import shapes
from shapes import GNU, USTAR, V7, encode_base256
from tars import ELF

_NUMBERS = [
    b"",
    b" ",
    b"0",
    b"7",
    b"644",
    b"1000",
    b"8",
    b"-1",
    b"+7",
    b"0o7",
    b"7_7",
    b"0x7",
    b" 7",
    b"\t7",
    b"7 ",
    b"7\0",
    b"7 \0",
    b"7\0 ",
    b"7\0x",
    b"7 x",
    b"7\n",
]
_NUMBERS += [b"\0007", b"\0\0007", b" \0007", b"\x80", b"\xff", b"\xc0", b"\x81", b"\xfe", b"\x80\x01"]
_NAMES = [
    b"a",
    b"b",
    b"usr/bin/x",
    b"./a",
    b"/a",
    b"a//b",
    b"a/./b",
    b"d/",
    b"d//",
    b"./",
    b".",
    b"/",
    b"",
    b"..",
    b"a/../b",
    b"\xff",
    "é".encode(),
    b"a\nb",
    b"a b",
    b"n" * 100,
]
_LINKS = [b"a", b"b", b"../a", b"/a", b"", b"l" * 100]
_MAGICS = (
    [USTAR] * 6
    + [GNU] * 4
    + [V7] * 3
    + [b"ustar\0\0\0", b"ustar\0  ", b"ustar 00", b"ustar  x", b"ustar\0 \0", b"Ustar\x0000", b"random!!"]
)
_KINDS = (
    [b"0"] * 12
    + [b"\0"] * 3
    + [b"1"] * 3
    + [b"2"] * 3
    + [b"5"] * 4
    + [b"3", b"4", b"6", b"7", b"S", b"V", b"M", b"D", b"A", b"X", b"N", b"Q", b"z", b"8"]
)
_RECORDS = [
    *[
        (name, value)
        for name in (b"path", b"linkpath", b"GNU.sparse.name")
        for value in (b"a", b"p/a", b"p/", b"", b"a\0b", b"../a", b"\xff", b"p" * 200)
    ],
    *[
        (name, value)
        for name in (b"size", b"uid", b"gid")
        for value in (
            b"0",
            b"7",
            b"007",
            b"+7",
            b"-7",
            b"",
            b" 7",
            b"7 ",
            b"7.0",
            b"4294967294",
            b"4294967295",
            b"99999999999999999999",
            b"1_0",
        )
    ],
    *[
        (b"mtime", value)
        for value in (
            b"0",
            b"-1",
            b"1.5",
            b"-1.5",
            b"1.",
            b".5",
            b"+1",
            b"",
            b"1e3",
            b"1.5.5",
            b"1,5",
            b"99999999999999999999",
            b"1.1234567890123",
        )
    ],
    *[(name, value) for name in (b"atime", b"ctime") for value in (b"1", b"x", b"")],
    *[
        (b"uname", b"root"),
        (b"uname", b"a\0"),
        (b"gname", b""),
        (b"comment", b"x"),
        (b"comment", b"\0"),
        (b"a\0b", b"x"),
        (b"hdrcharset", b"BINARY"),
    ],
    *[(b"SCHILY.xattr.security.capability", value) for value in (shapes.NET_RAW, b"", b"\0=\n")],
    *[
        (b"SCHILY.xattr.user.a", b"b"),
        (b"SCHILY.xattr.user.a=b", b"c"),
        (b"SCHILY.xattr.", b"x"),
        (b"LIBARCHIVE.xattr.security%2Ecapability", b"AQAA"),
    ],
    *[
        (b"SCHILY.realsize", b"0"),
        (b"SCHILY.filetype", b"sparse"),
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.realsize", b"9"),
    ],
    *[
        (b"GNU.sparse.map", b"0,0"),
        (b"GNU.sparse.numblocks", b"1"),
        (b"GNU.sparse.size", b"0"),
        (b"GNU.sparse.offset", b"0"),
        (b"GNU.sparse.numbytes", b"0"),
    ],
]


def draw_archive(chance: random.Random) -> tuple[bytes, bool]:
    """Draws an archive.

    Returns:
      The tar, and whether it has something that no program writes.
    """
    strange = chance.choice([0, 0.02, 0.1, 0.3])
    if chance.random() < 0.1:
        tar, changed = _draw_damaged_archive(chance, chance.choice(list(shapes.make_canonical_tars().values())))
        return tar, changed
    writer = chance.choice(list(shapes.WRITERS.values()))
    parts = []
    changed = False
    for number in range(chance.randint(1, 4)):
        before, one = _draw_preceding_headers(chance, writer, strange)
        entry, two = _draw_entry(chance, writer, strange, b"%d" % number)
        parts += [before, entry]
        changed = changed or one or two
    end = bytes(1024)
    if chance.random() < strange:
        changed = True
        end = chance.choice(
            [
                b"",
                bytes(512),
                bytes(512) + b"x" * 512,
                bytes(1024) + b"x" * 512,
                bytes(700),
                bytes(1024) + parts[-1],
                bytes(512) + parts[-1] + bytes(1024),
                b"x",
            ]
        )
    return b"".join(parts) + end, changed


def _draw_damaged_archive(chance: random.Random, tar: bytes) -> tuple[bytes, bool]:
    """Changes bytes of headers, and corrects their checksums."""
    made = bytearray(tar)
    places = [at for at in range(0, len(made) - 512, 512) if made[at + 257 : at + 262] == b"ustar"]
    for _ in range(chance.randint(0, 2) if places else 0):
        at = chance.choice(places)
        where = at + chance.choice([*range(100, 148), 156, *range(257, 265), *range(329, 512)])
        made[where] = chance.choice([0, 32, 48, 55, 56, 128, 255, made[where] ^ 1 << chance.randrange(8)])
        made[at : at + 512] = shapes.add_checksum(bytes(made[at : at + 512]))
    return bytes(made), bytes(made) != tar


def _draw_number(chance: random.Random, width: int) -> bytes:
    """Draws the field of a number, in any form."""
    text = chance.choice(_NUMBERS)
    if chance.random() < 0.2:
        return encode_base256(chance.choice([0, 7, -1, 1 << 31, 1 << 32, -(1 << 40), 1 << 55]), width)
    return chance.choice(
        [
            text.ljust(width, b"\0"),
            text.rjust(width, b"0"),
            text.rjust(width - 1, b"0") + b"\0",
            text.rjust(width, b" "),
            text.ljust(width, b" "),
        ]
    )[:width]


def _draw_entry(chance: random.Random, writer: shapes.Writer, strange: float, suffix: bytes) -> tuple[bytes, bool]:
    """Draws an entry with its content."""
    fields: dict[str, bytes | int] = {}
    size = chance.choice([0, 1, 512, len(ELF)])
    kind, name, changed = chance.choice([b"0", b"0", b"5", b"2"]), b"f" + suffix, False
    if chance.random() < strange:
        kind, changed = chance.choice(_KINDS), True
    if kind == b"5":
        name += b"/"
    elif kind in (b"1", b"2"):
        fields["link"] = chance.choice(_LINKS[:2])
    if chance.random() < strange:
        name, changed = chance.choice(_NAMES), True
    if chance.random() < strange:
        fields["link"], changed = chance.choice(_LINKS), True
    if kind in b"123456" and (chance.random() > strange or not changed):
        size = 0
    for field, width in (("mode", 8), ("uid", 8), ("gid", 8), ("mtime", 12), ("devmajor", 8), ("devminor", 8)):
        if chance.random() < strange / 2:
            fields[field], changed = _draw_number(chance, width), True
    if chance.random() < strange:
        field = chance.choice(
            [
                _draw_number(chance, 12),
                b"%011o\0" % chance.choice([0, 512]),
                encode_base256(size, 12),
                b"\0%010o\0" % size,
                b"%010o \0" % size,
                b"%11o " % size,
                b"%012o" % size,
            ]
        )
        fields["size_field"], changed = field, True
    if chance.random() < strange:
        fields["magic"], changed = chance.choice(_MAGICS), True
    if chance.random() < strange:
        fields["prefix"], changed = (
            chance.choice(
                [b"p", b"p/q", b"p/", b"/", b"..", b"\xff", b"1" * 11 + b"\0", b"p" * 155, shapes.GNU_TIMES, b"\x80" + bytes(11)]
            ),
            True,
        )
    if chance.random() < strange / 4:
        fields["trailer"], changed = b"tar\0", True
    made = shapes.make_header(writer, name, kind, size, **fields)
    if chance.random() < strange / 4:
        made = (
            made[:148]
            + chance.choice(
                [b"%06o\0 ", b"%07o\0", b"%07o ", b"%6o\0 ", b"\0%06o\0", b"%06o\0x", b"%08o", b" %06o ", b"%06o\0\0"]
            )
            % _compute_checksum(made)
            + made[156:]
        )
        changed = True
    return made + shapes.pad((ELF * 2)[:size]), changed


def _compute_checksum(header: bytes) -> int:
    return sum(header[:148]) + 256 + sum(header[156:])


def _draw_preceding_headers(chance: random.Random, writer: shapes.Writer, strange: float) -> tuple[bytes, bool]:
    """Draws the headers before an entry."""
    made, changed = b"", False
    if chance.random() < 0.3:
        records = {
            b"SCHILY.xattr.user.a": b"b",
            b"mtime": b"1700000000.5",
            b"path": b"long/" * chance.randint(1, 60) + b"%d" % chance.randrange(1000),
        }
        made += shapes.make_pax_header(records, writer)
    while chance.random() < strange:
        changed = True
        pairs = [chance.choice(_RECORDS) for _ in range(chance.randint(0, 4))]
        one = shapes.make_pax_header(
            pairs,
            writer,
            chance.choice([b"x"] * 6 + [b"g"] * 2 + [b"X"]),
            size_field=chance.choice([b""] * 9 + [_draw_number(chance, 12)])
            or sum(len(shapes.make_record(*pair)) for pair in pairs),
        )
        if chance.random() < strange:
            at = 512 + chance.randrange(60)
            one = one[:at] + chance.choice([b"\0", b" ", b"=", b"\n", b"0", b"9"]) + one[at + 1 :] if len(one) > at else one
        if chance.random() < strange:
            one = shapes.make_long_name(chance.choice([*_NAMES, b"l" * 200, b"l\0m"]), chance.choice([b"L", b"K"]), writer)
        made = chance.choice([made + one, one + made])
    return made, changed
