"""Refuses archives that are damaged, that readers disagree about, or that are too large, in one line each."""

from __future__ import annotations

import tarfile

import pytest

from tars import END, KILL, carrying, changed_header, make_tar, pax_entry, problems_of, retrofit, without_end, write


def _general(size: int) -> bytes:
    """A pax header for all entries, with a comment of that many bytes."""
    return changed_header(pax_entry("a", {b"comment": b"x" * size})[: 512 + -(-(size + 16) // 512) * 512], 156, b"g")


def _old_sparse(maps: int) -> bytes:
    """An empty file in GNU tar's old sparse format, with that many blocks of further maps."""
    more = [bytes(504) + b"\1" + bytes(7)] * (maps - 1) + [bytes(512)]
    return changed_header(changed_header(without_end(make_tar({"name": "s", "content": b""}, format=tarfile.GNU_FORMAT))[:512], 156, b"S"), 482, b"\1") + b"".join(more)


ONE = without_end(make_tar({"name": "server"}))
LIES = {
    "truncated": (ONE[:700], "ends within the content of an entry"),
    "no end": (ONE, "ends without an end-of-archive marker"),
    "half a header": (ONE + ONE[:100], "ends within a header"),
    "empty": (b"", "ends without an end-of-archive marker"),
    "garbage": (b"what is this" * 100, "header"),
    "checksum": (ONE[:10] + b"!" + ONE[11:] + END, "a header whose checksum is wrong"),
    "parent": (without_end(make_tar({"name": "a/../../etc/passwd"})) + END, "no name of an entry"),
    "hard link to a parent": (without_end(make_tar({"name": "a", "type": tarfile.LNKTYPE, "link": "../x"})) + END, "no name of an entry"),
    "negative size": (changed_header(ONE, 124, b"\xff" * 12) + END, "below zero, or too large"),
    "huge size": (changed_header(ONE, 124, b"\x80" + b"\x7f" * 11) + END, "below zero, or too large"),
    "size of letters": (changed_header(ONE, 124, b"0000000zz12\0") + END, "which is no number"),
    "hard link with content": (changed_header(ONE, 156, b"1server") + END, "hard link with content"),
    "volume": (changed_header(ONE, 156, b"M") + END, "which layers do not have"),
    "NUL in a name": (without_end(pax_entry("a", {b"path": b"a\0b"})) + END, "has a NUL"),
    "records that lie": (without_end(pax_entry("a", {b"path": b"server"})).replace(b"15 path", b"99 path") + END, "no record at byte 0"),
    "two pax headers": (without_end(pax_entry("a", {b"path": b"b"}))[:1024] + without_end(pax_entry("a", {b"path": b"c"})) + END, "two pax headers"),
    "pax header at the end": (without_end(pax_entry("a", {b"path": b"b"}))[:1024] + END, "belongs to the next entry"),
    "for all entries": (changed_header(without_end(pax_entry("a", {b"SCHILY.xattr.security.capability": b"x"})), 156, b"g") + END, "for all entries"),
    "pax header of more than 1 MiB": (pax_entry("a", {b"comment": b"x" * (1 << 20)}) + END, "are not read"),
    "endless headers for all entries": (_general(4096) * 600 + ONE + END, "too many headers for one entry"),
    "endless map of a sparse file": (_old_sparse((1 << 14) + 1) + END, "a map of a sparse file that does not end"),
    "huge pax header": (changed_header(ONE, 124, b"77777777777\0" + b"0" * 12 + b"        x") + END, "are not read"),
    "capabilities of revision 1": (carrying("a", bytes.fromhex("000000010000000000000000")) + END, "setxattr(2) refuses, so that no container engine can unpack it; in a file system image (squashfs, EROFS) the kernel reads it as ="),
    "link against its target": (ONE + carrying("b", KILL, type=tarfile.LNKTYPE, link="server") + END, "the same file"),
    "something after the end": (ONE + END + ONE, "has something after its end"),
    "a lone zero block": (ONE + bytes(512) + ONE, "a lone block of zeros"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies(name, tmp_path):
    tar, said = LIES[name]
    problems = problems_of(tmp_path, tar)
    assert said in "\n".join(problems), problems


def test_large_headers_within_the_limits(tmp_path):
    tar = write(tmp_path, without_end(pax_entry("a", {b"comment": b"x" * ((1 << 20) - 20)})), _general(4096) * 400, ONE, _old_sparse(1 << 14), END)
    before = tar.read_bytes()
    assert retrofit(tmp_path, tar) == (0, "")
    assert (tmp_path / "out").read_bytes() == before
