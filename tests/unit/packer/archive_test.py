"""Archives that are damaged, that readers disagree about, or that are too large: refused in a line each."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zlib
from compression import zstd

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
    "checksum": (ONE[:10] + b"!" + ONE[11:] + END, "the header at byte 0: the checksum is wrong"),
    "parent": (without_end(make_tar({"name": "a/../../etc/passwd"})) + END, "is not a valid name of an entry"),
    "hard link to a parent": (without_end(make_tar({"name": "a", "type": tarfile.LNKTYPE, "link": "../x"})) + END, "is not a valid name of an entry"),
    "negative size": (changed_header(ONE, 124, b"\xff" * 12) + END, "size -1 is out of range"),
    "huge size": (changed_header(ONE, 124, b"\x80" + b"\x7f" * 11) + END, "is not a valid octal number"),
    "size of letters": (changed_header(ONE, 124, b"0000000zz12\0") + END, 'the header at byte 0: size "0000000zz12\\u0000" is not a valid octal number'),
    "hard link with content": (changed_header(ONE, 156, b"1server") + END, "is a hard link of size 1804"),
    "volume": (changed_header(ONE, 156, b"M") + END, "is not a type that entries of layers have"),
    "NUL in a name": (without_end(pax_entry("a", {b"path": b"a\0b"})) + END, "has a NUL"),
    "records that lie": (without_end(pax_entry("a", {b"path": b"server"})).replace(b"15 path", b"99 path") + END, "no valid record at byte 0"),
    "two pax headers": (without_end(pax_entry("a", {b"path": b"b"}))[:1024] + without_end(pax_entry("a", {b"path": b"c"})) + END, "the header at byte 1024: a second pax header"),
    "pax header at the end": (without_end(pax_entry("a", {b"path": b"b"}))[:1024] + END, "belongs to the next entry"),
    "for all entries": (changed_header(without_end(pax_entry("a", {b"SCHILY.xattr.security.capability": b"x"})), 156, b"g") + END, "for all entries"),
    "pax header of more than 1 MiB": (pax_entry("a", {b"comment": b"x" * (1 << 20)}) + END, "are not read"),
    "endless headers for all entries": (_general(4096) * 600 + ONE + END, "headers of more than 2097152 bytes before one entry"),
    "endless map of a sparse file": (_old_sparse(2048) + END, "the map of a sparse file has more than 2047 blocks"),
    "huge pax header": (changed_header(ONE, 124, b"77777777777\0" + b"0" * 12 + b"        x") + END, "are not read"),
    "capabilities of revision 1": (carrying("a", bytes.fromhex("000000010000000000000000")) + END, "no kernel takes"),
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
    tar = write(tmp_path, without_end(pax_entry("a", {b"comment": b"x" * ((1 << 20) - 20)})), _general(4096) * 400, ONE, _old_sparse(2047), END)
    before = tar.read_bytes()
    assert retrofit(tmp_path, tar) == (0, "")
    assert (tmp_path / "out").read_bytes() == before


def _xz(data: bytes, dictionary: int) -> bytes:
    """Compresses, and says in the block's header that the dictionary is of another size (xz file format, 5.3.1)."""
    made = bytearray(lzma.compress(data, preset=0))
    end = 12 + (made[12] + 1) * 4
    at = made.index(b"\x21\x01", 12, end) + 2
    made[at] = dictionary
    made[end - 4 : end] = zlib.crc32(made[12 : end - 4]).to_bytes(4, "little")
    return bytes(made)


COMPRESSED = {
    "xz": (lzma.compress, ""),
    "xz with padding": (lambda data: lzma.compress(data) + bytes(8), ""),
    "xz with something after it": (lambda data: lzma.compress(data) + b"x", "damaged xz: something follows it"),
    "two streams of xz": (lambda data: lzma.compress(data) + lzma.compress(b""), "damaged xz: something follows it"),
    "xz with a dictionary of 64 MiB": (lambda data: _xz(data, 28), ""),
    "xz with a dictionary of 4 GiB": (lambda data: _xz(data, 40), "damaged xz: Memory usage limit exceeded"),
    "zstd after a skippable frame": (lambda data: struct.pack("<II", 0x184D2A50, 3) + b"toc" + zstd.compress(data), ""),
    "zstd before a skippable frame": (lambda data: zstd.compress(data) + struct.pack("<II", 0x184D2A5F, 3) + b"toc", ""),
}


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_tars(tmp_path, name):
    compress, fault = COMPRESSED[name]
    tar = ONE + END
    done = retrofit(tmp_path, write(tmp_path, compress(tar)))
    if fault:
        assert done.status == 1 and fault in done.stderr and done.stderr.count("\n") == 1
    else:
        assert done == (0, "")
        assert (tmp_path / "out").read_bytes() == tar


def test_a_bomb_goes_off_at_a_gigabyte(tmp_path):
    """Of zstd: gzip cannot go beyond what is allowed."""
    block = zstd.compress(bytes(64 << 20), 1)
    header = tarfile.TarInfo("zeros")
    header.size = 1 << 36
    problems = problems_of(tmp_path, zstd.compress(header.tobuf(tarfile.GNU_FORMAT)) + block * 1024)
    assert len(problems) == 1 and "more than 1100 times as many" in problems[0]
