"""What `setcap` writes is read by every program that read the input, with the same entries but for the capabilities.

ARCHIVES is the number of random archives (40 by default) and HEADERS_SEED the seed of the random numbers, which is
printed. To run 500 with a new seed: ./bazelw test //tests/unit/packer:setcap_nightly_test --test_output=all
"""

from __future__ import annotations

import base64
import io
import os
import random
from typing import Any

import drawn_headers
import pytest
import readers
import shapes
from tars import END

from rules_setcap.archive import reader
from rules_setcap.archive.entry import FILE
from rules_setcap.archive.paths import is_utf8
from support import packer

COUNT = int(os.environ.get("ARCHIVES", "40"))
SEED = int(os.environ.get("HEADERS_SEED") or (20261126 if COUNT <= 40 else random.SystemRandom().randrange(1 << 32)))
PROGRAMS = ("Go", "GNU tar", "bsdtar", "Python")


@pytest.fixture(scope="module")
def go(tmp_path_factory) -> readers.Go:
    return readers.Go(tmp_path_factory.mktemp("go"))


def retrofit(directory, tar: bytes, *grants: str) -> tuple[int, str, bytes]:
    """Runs `setcap`; returns its status, its messages and the tar that it wrote."""
    (directory / "in.tar").write_bytes(tar)
    (directory / "out.tar").unlink(missing_ok=True)
    request = ["setcap", "--target=//x", f"--output={directory}/out.tar", f"--metadata={directory}/metadata", f"--tar={directory}/in.tar"]
    status, said = packer.run_here([*request, "--compression=none", "--created-by=test", *grants])
    return status, said, b"" if status else (directory / "out.tar").read_bytes()


def read(go: readers.Go, directory, tars: list[bytes]) -> list[dict[str, Any]]:
    """Returns what each program reads in each tar; None of one that finds a fault."""
    found = []
    for tar, of_go in zip(tars, go.read(tars)):
        path = directory / "tar"
        path.write_bytes(tar)
        lists = (readers.go_entries(of_go), readers.gnu_entries(path), readers.bsdtar_entries(path), readers.python_entries(tar))
        found.append(dict(zip(PROGRAMS, lists)))
    return found


def programs(tar: bytes) -> list[str]:
    """Returns the paths of the entries that may have capabilities.

    Raises:
      ArchiveError: the archive is refused.
    """
    found = []
    tape = reader.Archive(io.BytesIO(tar))
    for member in tape:
        start = next(tape.content(), b"")
        if member.type == FILE and member.mode & 0o111 and (member.sparse or start.startswith(b"\x7fELF") and member.size > 100):
            found.append(member.path)
    return found


def compare(go: readers.Go, directory, pairs: list[tuple[bytes, bytes]]) -> dict[str, int]:
    """Compares tars before and after `setcap`.

    Args:
      go: Go's reader.
      directory: where files are put.
      pairs: the tar before, and the tar after.

    Returns:
      How many were compared, by program.
    """
    count = dict.fromkeys(PROGRAMS, 0)
    befores, afters = (read(go, directory, [pair[number] for pair in pairs]) for number in (0, 1))
    for (tar, written), before, after in zip(pairs, befores, afters):
        members = reader.Archive(io.BytesIO(written))
        paths = [member.path for member in members if shapes.CAPABILITY in member.records]
        for program in PROGRAMS:
            if before[program] is None:
                continue
            count[program] += 1
            assert after[program] is not None, (program, tar.rstrip(b"\0"), written.rstrip(b"\0"))
            assert after[program][0] == before[program][0], (program, tar.rstrip(b"\0"))
            assert len(after[program][1]) == len(paths), (program, tar.rstrip(b"\0"))
        assert [reader.normalize_name(name) for name in after["Go"][1]] == paths
    return count


# Each form of a pax header that programs write, and what else may belong to an entry.
EXTENDED = {
    **{name: shapes.extension({b"SCHILY.xattr.user.a": b"b"}, writer) for name, writer in shapes.WRITERS.items()},
    "size in base 256": shapes.extension({b"comment": b"b"}, size_field=shapes.binary(13, 12)),
    "all numbers in base 256": shapes.extension({b"comment": b"b"}, **{name: shapes.binary(1, 8) for name in ("mode", "uid", "gid")}, mtime=shapes.binary(-1, 12)),
    "size without end": shapes.extension({b"comment": b"b"}, size_field=b"%012o" % 13),
    "size that ends early": shapes.extension({b"comment": b"b"}, size_field=b"   15 ".ljust(12, b"\0")),
    "signed checksum": shapes.signed(shapes.extension({b"comment": b"b"}, mode=b"0000644\0", owner=b"\xff")),
    "no name": shapes.block(name=b"", kind=b"x", size=13) + shapes.padded(b"13 comment=b\n"),
    "name with a prefix": shapes.extension({b"comment": b"b"}, prefix=b"p"),
    "name of 100 bytes": shapes.block(name=b"n" * 100, kind=b"x", size=13) + shapes.padded(b"13 comment=b\n"),
    "no records": shapes.block(name=b"x", kind=b"x"),
    "records of odd lengths": shapes.extension({b"comment": b"b" * 83, b"a": b"\n", b"SCHILY.xattr.user.c": b"x" * 400}),
    "length with zeros": shapes.block(name=b"x", kind=b"x", size=15) + shapes.padded(b"0015 comment=b\n"),
    "hdrcharset": shapes.extension({b"hdrcharset": b"BINARY", b"uname": b"\xff"}),
    "the same record twice": shapes.extension([(b"comment", b"b"), (b"comment", b"b")]),
    "long name before": shapes.long_name(b"l" * 150) + shapes.extension({b"comment": b"b"}),
    "long name after": shapes.extension({b"comment": b"b"}) + shapes.long_name(b"l" * 150),
    "long name": shapes.long_name(b"l" * 150),
    "header of all entries": shapes.extension({b"comment": b"b"}, kind=b"g"),
    "records of star": shapes.extension({b"SCHILY.dev": b"1", b"SCHILY.ino": b"2", b"SCHILY.nlink": b"1"}, shapes.WRITERS["star"]),
    "capabilities already": shapes.extension({shapes.CAPABILITY: shapes.NET_RAW}, shapes.WRITERS["star"]),
    "capabilities in the middle": shapes.extension([(b"a", b"b"), (shapes.CAPABILITY, shapes.NET_RAW), (b"c", b"d")], shapes.WRITERS["Rust's tar"]),
    "capabilities of bsdtar": shapes.extension({b"LIBARCHIVE.xattr.security.capability": base64.b64encode(shapes.NET_RAW).rstrip(b"=")}),
}


@pytest.mark.parametrize("name", [*shapes.canonical(), *EXTENDED])
def test_nothing_changes_if_no_capabilities_do(tmp_path, name):
    tar = shapes.canonical()[name] if name in shapes.canonical() else EXTENDED[name] + shapes.program() + END
    flag = "--existing-capabilities=remove" if b"LIBARCHIVE" not in tar and shapes.NET_RAW not in tar else "--existing-capabilities=keep"
    status, said, written = retrofit(tmp_path, tar, flag)
    assert (status, said) == (0, "")
    assert written == tar or b"LIBARCHIVE" in tar  # Where bsdtar's record is alone, the one that engines read is added.


@pytest.mark.parametrize("name", shapes.canonical())
def test_what_programs_write(go, tmp_path, name):
    tar = shapes.canonical()[name]
    paths = [path for path in programs(tar) if path.isascii()]
    status, said, written = retrofit(tmp_path, tar, *(packer.assign(path, "cap_setuid=ep") for path in paths))
    assert (status, said) == (0, "")
    assert compare(go, tmp_path, [(tar, written)])["Go"] == 1


def test_pax_headers_that_change(go, tmp_path):
    """Of every form, before an entry of every format, with capabilities that appear, change and go."""
    pairs = []
    for name, extended in EXTENDED.items():
        magic = (shapes.V7, shapes.USTAR, shapes.GNU)[len(pairs) % 3]
        tar = extended + shapes.program(magic=magic) + shapes.program(name=b"after") + END
        path = programs(tar)[0]
        if path.isascii():
            for grant in (["cap_setuid=ep"], []):
                status, said, written = retrofit(tmp_path, tar, packer.assign(path, *grant))
                assert (status, said) == (0, ""), name
                pairs.append((tar, written))
    print(compare(go, tmp_path, pairs))


def test_random_archives(go, tmp_path):
    print(f"ARCHIVES={COUNT} HEADERS_SEED={SEED}")
    chance = random.Random(SEED)
    pairs, refused = [], 0
    while len(pairs) < COUNT:
        tar, _ = drawn_headers.archive(chance)
        try:
            paths = [path for path in programs(tar) if is_utf8(path) and chance.random() < 0.7]
        except reader.ArchiveError:
            continue
        flags = [packer.assign(path, *chance.choice([["cap_setuid=ep"], ["kill"], []])) for path in dict.fromkeys(paths)]
        status, said, written = retrofit(tmp_path, tar, *flags, chance.choice(["--existing-capabilities=keep", "--existing-capabilities=remove"]))
        if status:
            refused += 1
        elif paths:
            pairs.append((tar, written))
    print(f"{compare(go, tmp_path, pairs)} were compared; {refused} more are no layers, by their entries")


def test_a_pax_header_that_becomes_too_large(tmp_path):
    size = (1 << 20) - 30
    tar = shapes.extension({b"comment": b"x" * size}) + shapes.program() + END
    status, said, _ = retrofit(tmp_path, tar, packer.assign("/program", "kill"))
    assert status == 1
    assert '"/program": its pax header would have 1048620 bytes; container engines read at most 1048576' in said
