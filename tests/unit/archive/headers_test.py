"""Random headers are read as Go's archive/tar reads them, or refused.

HEADERS is the number of archives (400 by default) and HEADERS_SEED the seed of the random numbers, which is printed.
To run 20,000 with a new seed: ./bazelw test //tests/unit/archive:headers_nightly_test --test_output=all
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import re
from typing import Any

import drawn_headers
import pytest
import readers
import shapes

from rules_setcap.archive.entry import DIRECTORY, FILE, HARDLINK, SYMLINK
from rules_setcap.archive.reader import TarError, TarReader, normalize_name

COUNT = int(os.environ.get("HEADERS", "400"))
SEED = int(os.environ.get("HEADERS_SEED") or (20261126 if COUNT <= 400 else random.SystemRandom().randrange(1 << 32)))
TYPES = {
    "0": FILE,
    "\0": FILE,
    "S": FILE,
    "1": HARDLINK,
    "2": SYMLINK,
    "3": "character device",
    "4": "block device",
    "5": DIRECTORY,
    "6": "fifo",
}


@pytest.fixture(scope="module")
def go(tmp_path_factory) -> readers.Go:
    return readers.Go(tmp_path_factory.mktemp("go"))


def read_members(tar: bytes) -> list[dict[str, Any]]:
    """Returns the members of an archive as our reader reads them.

    Raises:
      TarError: the archive is refused.
    """
    entries = []
    archive = TarReader(io.BytesIO(tar))
    for member in archive:
        content = b"".join(archive.read_content())[: member.size]
        entries.append(
            {
                "path": member.path,
                "type": member.type,
                "link": member.link,
                **{key: getattr(member, key) for key in ("mode", "uid", "gid", "sparse", "records")},
                "size": None if member.sparse else member.size,
                "offset": None if member.sparse else member.offset + len(member.header),
                "content": None if member.sparse else hashlib.sha256(content).hexdigest(),
            }
        )
    for _ in archive.read_rest():
        pass
    return entries


def convert_entries(archive: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the entries that Go read, in the form of read_members()."""
    entries = []
    for entry in archive["Entries"]:
        kind = TYPES.get(entry["Type"], entry["Type"])
        if kind == "g":
            continue  # A global header, which container engines skip.
        sparse = entry["Type"] == "S" or any(key.startswith("GNU.sparse.") for key in entry["Records"])
        entries.append(
            {
                "path": normalize_name(entry["Name"]),
                "type": kind,
                "link": normalize_name(entry["Link"]) if kind == HARDLINK else entry["Link"].decode("utf-8", "surrogateescape"),
                "mode": entry["Mode"] & 0o7777,
                "uid": entry["Uid"],
                "gid": entry["Gid"],
                "sparse": sparse,
                "records": {key.encode("utf-8", "surrogateescape"): value for key, value in entry["Records"].items()},
                "size": None if sparse else entry["Size"] if kind == FILE else 0,
                "offset": None if sparse else entry["Offset"],
                "content": None if sparse else entry["Content"],
            }
        )
    return entries


@pytest.mark.parametrize("name", shapes.make_canonical_tars())
def test_the_tar_of_a_program_is_read_as_go_reads_it(go, name):
    tar = shapes.make_canonical_tars()[name]
    (archive,) = go.read([tar])
    assert archive["Error"] == ""
    assert read_members(tar) == convert_entries(archive)


def test_random_headers_are_read_as_go_reads_them_or_refused(go, tmp_path):
    """Only archives that have something that no program writes, or that Go refuses, may be refused."""
    print(f"HEADERS={COUNT} HEADERS_SEED={SEED}")
    chance = random.Random(SEED)
    drawn = [drawn_headers.draw_archive(chance) for _ in range(COUNT)]
    accepted, refused_by_both = [], 0
    for at in range(0, COUNT, 1000):
        chosen = drawn[at : at + 1000]
        for (tar, changed), archive in zip(chosen, go.read([tar for tar, _ in chosen]), strict=True):
            try:
                entries = read_members(tar)
            except TarError as error:
                assert str(error)
                assert changed or archive["Error"], (error, tar.rstrip(b"\0"))
                refused_by_both += archive["Error"] != ""
                continue
            assert archive["Error"] == "", (archive["Error"], tar.rstrip(b"\0"))
            assert entries == convert_entries(archive), tar.rstrip(b"\0")
            accepted.append(tar)
    print(
        f"{COUNT} archives: {len(accepted)} read, {refused_by_both} refused by Go as well, {COUNT - len(accepted) - refused_by_both} by us alone"
    )
    assert len(accepted) > COUNT // 10
    other = {"GNU tar": 0, "bsdtar": 0, "Python": 0}
    for tar in accepted[: max(40, COUNT // 40)]:
        expected = [_convert_member(entry) for entry in read_members(tar)]
        for name, listed in _list_tar(tar, tmp_path).items():
            # GNU tar's listing pads names, and has the real size of sparse files.
            if listed is None or (name == "GNU tar" and any(path.startswith("/ ") for path, *_ in expected)):
                continue
            other[name] += 1
            sizes = {path: size for path, *_, size in expected}
            entries = [(*entry, -1 if sizes.get(entry[0]) == -1 else size) for *entry, size in listed]
            # Python stops silently at a header that it finds invalid.
            assert entries == expected or (name == "Python" and entries == expected[: len(entries)]), (name, tar.rstrip(b"\0"))
    print(f"of these, {other} were compared")


Listed = tuple[str, str, int, int, int]
"""Path, type, user, group and size of an entry. The size is -1 if the entry is not a regular file, or is sparse."""


def _list_tar(tar: bytes, tmp_path) -> dict[str, list[Listed] | None]:
    """Returns the entries as other programs list them; None for a program that finds the archive invalid."""
    path = tmp_path / "tar"
    path.write_bytes(tar)
    gnu, bsd, python = readers.gnu_entries(path, content=False), readers.bsdtar_entries(path), readers.python_entries(tar)
    return {
        "GNU tar": None if gnu is None else [_convert_gnu_line(*line[:4]) for line in gnu[0][0] if line[0]],
        "bsdtar": None if bsd is None else [_convert_python_info(info, sparse) for info, sparse, *_ in bsd[0]],
        "Python": None
        if python is None or _is_misread_by_python(tar)
        else [_convert_python_info(info, sparse) for info, sparse, *_ in python[0]],
    }


def _is_misread_by_python(tar: bytes) -> bool:
    """Returns whether a member in another format than ustar has bytes where ustar has devices and prefix.

    Python reads these fields in every format, so it reads GNU tar's times as a prefix.
    """
    return any(
        member.header[257:263] != b"ustar\0" and member.header[329:500].strip(b"\0") for member in TarReader(io.BytesIO(tar))
    )


def _convert_member(entry: dict[str, Any]) -> Listed:
    return (
        entry["path"],
        entry["type"],
        entry["uid"],
        entry["gid"],
        entry["size"] if entry["type"] == FILE and not entry["sparse"] else -1,
    )


def _convert_gnu_line(mode: bytes, name: bytes, owner: bytes, size: bytes) -> Listed:
    letters = {"-": FILE, "h": HARDLINK, "l": SYMLINK, "d": DIRECTORY, "c": "character device", "b": "block device", "p": "fifo"}
    name = re.split(b" -> | link to ", name)[0]
    kind = letters[chr(mode[0])]
    uid, gid = owner.split(b"/")
    return (
        normalize_name(name.decode("unicode_escape").encode("latin-1")),
        kind,
        int(uid),
        int(gid),
        int(size) if kind == FILE else -1,
    )


def _convert_python_info(info: dict[str, Any], sparse: Any) -> Listed:
    kind = TYPES[info["type"].decode()]
    return (
        normalize_name(info["name"].encode("utf-8", "surrogateescape")),
        kind,
        info["uid"],
        info["gid"],
        info["size"] if kind == FILE and sparse is None else -1,
    )
