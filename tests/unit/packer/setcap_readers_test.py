"""Every program that reads a tar also reads what `setcap` writes, and only capabilities differ.

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


def _run_setcap(directory, tar: bytes, *flags: str) -> tuple[int, str, bytes]:
    """Runs `setcap`; returns its exit code, its messages and the tar that it has written."""
    (directory / "in.tar").write_bytes(tar)
    (directory / "out.tar").unlink(missing_ok=True)
    request = [
        "setcap",
        "--target=//x",
        f"--output={directory}/out.tar",
        f"--metadata={directory}/metadata",
        f"--tar={directory}/in.tar",
    ]
    status, messages = packer.run_here([*request, "--compression=none", "--created-by=test", *flags])
    return status, messages, b"" if status else (directory / "out.tar").read_bytes()


def _read_tars(go: readers.Go, directory, tars: list[bytes]) -> list[dict[str, Any]]:
    """Returns for each tar what each program reads; None for a program that reports an error."""
    results = []
    for tar, go_result in zip(tars, go.read(tars), strict=True):
        path = directory / "tar"
        path.write_bytes(tar)
        lists = (
            readers.go_entries(go_result),
            readers.gnu_entries(path),
            readers.bsdtar_entries(path),
            readers.python_entries(tar),
        )
        results.append(dict(zip(PROGRAMS, lists, strict=True)))
    return results


def _list_programs(tar: bytes) -> list[str]:
    """Returns the paths of the entries that may have capabilities.

    Raises:
      TarError: the archive is not valid.
    """
    paths = []
    archive = reader.TarReader(io.BytesIO(tar))
    for member in archive:
        start = next(archive.read_content(), b"")
        if (
            member.type == FILE
            and member.mode & 0o111
            and (member.sparse or (start.startswith(b"\x7fELF") and member.size > 100))
        ):
            paths.append(member.path)
    return paths


def _compare(go: readers.Go, directory, pairs: list[tuple[bytes, bytes]]) -> dict[str, int]:
    """Checks that programs read the same entries before and after `setcap`.

    Args:
      go: the reader in Go.
      directory: a directory for files.
      pairs: tars before and after.

    Returns:
      The number of pairs that were compared, by program.
    """
    count = dict.fromkeys(PROGRAMS, 0)
    befores, afters = (_read_tars(go, directory, [pair[number] for pair in pairs]) for number in (0, 1))
    for (tar, written), before, after in zip(pairs, befores, afters, strict=True):
        members = reader.TarReader(io.BytesIO(written))
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


# Every form in which programs write pax headers, and other headers of an entry.
EXTENDED = {
    **{name: shapes.make_pax_header({b"SCHILY.xattr.user.a": b"b"}, writer) for name, writer in shapes.WRITERS.items()},
    "size in base 256": shapes.make_pax_header({b"comment": b"b"}, size_field=shapes.encode_base256(13, 12)),
    "all numbers in base 256": shapes.make_pax_header(
        {b"comment": b"b"},
        **{name: shapes.encode_base256(1, 8) for name in ("mode", "uid", "gid")},
        mtime=shapes.encode_base256(-1, 12),
    ),
    "size without end": shapes.make_pax_header({b"comment": b"b"}, size_field=b"%012o" % 13),
    "size that ends early": shapes.make_pax_header({b"comment": b"b"}, size_field=b"   15 ".ljust(12, b"\0")),
    "signed checksum": shapes.add_signed_checksum(shapes.make_pax_header({b"comment": b"b"}, mode=b"0000644\0", owner=b"\xff")),
    "no name": shapes.make_header(name=b"", kind=b"x", size=13) + shapes.pad(b"13 comment=b\n"),
    "name with a prefix": shapes.make_pax_header({b"comment": b"b"}, prefix=b"p"),
    "name of 100 bytes": shapes.make_header(name=b"n" * 100, kind=b"x", size=13) + shapes.pad(b"13 comment=b\n"),
    "no records": shapes.make_header(name=b"x", kind=b"x"),
    "records of odd lengths": shapes.make_pax_header({b"comment": b"b" * 83, b"a": b"\n", b"SCHILY.xattr.user.c": b"x" * 400}),
    "length with zeros": shapes.make_header(name=b"x", kind=b"x", size=15) + shapes.pad(b"0015 comment=b\n"),
    "hdrcharset": shapes.make_pax_header({b"hdrcharset": b"BINARY", b"uname": b"\xff"}),
    "the same record twice": shapes.make_pax_header([(b"comment", b"b"), (b"comment", b"b")]),
    "long name before": shapes.make_long_name(b"l" * 150) + shapes.make_pax_header({b"comment": b"b"}),
    "long name after": shapes.make_pax_header({b"comment": b"b"}) + shapes.make_long_name(b"l" * 150),
    "long name": shapes.make_long_name(b"l" * 150),
    "header of all entries": shapes.make_pax_header({b"comment": b"b"}, kind=b"g"),
    "records of star": shapes.make_pax_header(
        {b"SCHILY.dev": b"1", b"SCHILY.ino": b"2", b"SCHILY.nlink": b"1"}, shapes.WRITERS["star"]
    ),
    "capabilities already": shapes.make_pax_header({shapes.CAPABILITY: shapes.NET_RAW}, shapes.WRITERS["star"]),
    "capabilities in the middle": shapes.make_pax_header(
        [(b"a", b"b"), (shapes.CAPABILITY, shapes.NET_RAW), (b"c", b"d")], shapes.WRITERS["Rust's tar"]
    ),
    "capabilities of bsdtar": shapes.make_pax_header(
        {b"LIBARCHIVE.xattr.security.capability": base64.b64encode(shapes.NET_RAW).rstrip(b"=")}
    ),
}


@pytest.mark.parametrize("name", [*shapes.make_canonical_tars(), *EXTENDED])
def test_nothing_changes_if_no_capabilities_do(tmp_path, name):
    tar = (
        shapes.make_canonical_tars()[name]
        if name in shapes.make_canonical_tars()
        else EXTENDED[name] + shapes.make_program() + END
    )
    flag = (
        "--existing-capabilities=remove"
        if b"LIBARCHIVE" not in tar and shapes.NET_RAW not in tar
        else "--existing-capabilities=keep"
    )
    status, messages, written = _run_setcap(tmp_path, tar, flag)
    assert (status, messages) == (0, "")
    assert written == tar or b"LIBARCHIVE" in tar  # If only bsdtar's record exists, setcap adds the one that engines read.


@pytest.mark.parametrize("name", shapes.make_canonical_tars())
def test_tars_of_each_program_keep_their_entries(go, tmp_path, name):
    tar = shapes.make_canonical_tars()[name]
    paths = [path for path in _list_programs(tar) if path.isascii()]
    status, messages, written = _run_setcap(tmp_path, tar, *(packer.assign(path, "cap_setuid=ep") for path in paths))
    assert (status, messages) == (0, "")
    assert _compare(go, tmp_path, [(tar, written)])["Go"] == 1


def test_every_form_of_a_pax_header_can_change(go, tmp_path):
    """Capabilities are added, changed and removed, before entries of every format."""
    pairs = []
    for name, extended in EXTENDED.items():
        magic = (shapes.V7, shapes.USTAR, shapes.GNU)[len(pairs) % 3]
        tar = extended + shapes.make_program(magic=magic) + shapes.make_program(name=b"after") + END
        path = _list_programs(tar)[0]
        if path.isascii():
            for words in (["cap_setuid=ep"], []):
                status, messages, written = _run_setcap(tmp_path, tar, packer.assign(path, *words))
                assert (status, messages) == (0, ""), name
                pairs.append((tar, written))
    print(_compare(go, tmp_path, pairs))


def test_random_archives_keep_their_entries(go, tmp_path):
    print(f"ARCHIVES={COUNT} HEADERS_SEED={SEED}")
    chance = random.Random(SEED)
    pairs, refused = [], 0
    while len(pairs) < COUNT:
        tar, _ = drawn_headers.draw_archive(chance)
        try:
            paths = [path for path in _list_programs(tar) if is_utf8(path) and chance.random() < 0.7]
        except reader.TarError:
            continue
        flags = [packer.assign(path, *chance.choice([["cap_setuid=ep"], ["kill"], []])) for path in dict.fromkeys(paths)]
        status, _, written = _run_setcap(
            tmp_path, tar, *flags, chance.choice(["--existing-capabilities=keep", "--existing-capabilities=remove"])
        )
        if status:
            refused += 1
        elif paths:
            pairs.append((tar, written))
    print(f"{_compare(go, tmp_path, pairs)} were compared; {refused} more are not valid layers")


def test_a_pax_header_that_becomes_too_large_is_a_problem(tmp_path):
    size = (1 << 20) - 30
    tar = shapes.make_pax_header({b"comment": b"x" * size}) + shapes.make_program() + END
    status, messages, _ = _run_setcap(tmp_path, tar, packer.assign("/program", "kill"))
    assert status == 1
    assert '"/program": its pax header would have 1048620 bytes; container engines read at most 1048576' in messages
