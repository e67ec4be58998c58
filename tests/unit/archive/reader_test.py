"""Refuses archives that are damaged, that readers disagree about, or that are too large, in one line each."""

from __future__ import annotations

import io
import tarfile

import pytest
import shapes
from tars import END, KILL, carrying, changed_header, make_tar, pax_entry, problems_of, retrofit, without_end, write

from rules_setcap.archive.reader import Archive, ArchiveError
from rules_setcap.diagnostics import limits


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
    "capabilities of revision 1": (carrying("a", bytes.fromhex("000000010000000000000000")) + END, "setxattr(2) refuses, so that no container engine can unpack it; in a file system image (squashfs, EROFS) the kernel reads it as ="),
    "link against its target": (ONE + carrying("b", KILL, type=tarfile.LNKTYPE, link="server") + END, "the same file"),
    "something after the end": (ONE + END + ONE, "has something after its end, at byte 3584"),
    "size that starts with NUL": (shapes.block(size_field=b"\0%010o\0" % 512) + bytes(512) + END, 'the header at byte 0: size "\\u00000000001000\\u0000" is not a valid octal number'),
    "number with something after it": (ONE + shapes.block(mode=b"755 7\0  ") + END, 'the header at byte 2560: mode "755 7\\u0000  " is not a valid octal number'),
    "number of base 256 in another form": (shapes.block(uid=b"\x81" + bytes(7)) + END, 'uid "\\u0081\\u0000'),
    "negative owner": (shapes.block(gid=-2) + END, "gid -2 is out of range (0 to 4294967294)"),
    "owner that chown ignores": (shapes.extension({b"uid": b"4294967295"}) + shapes.block() + END, "the header at byte 1024: uid 4294967295 is out of range"),
    "owner with a sign": (shapes.extension({b"uid": b"+1"}) + shapes.block() + END, "record uid=\"+1\" is not a valid number"),
    "prefix in GNU tar's format": (shapes.block(magic=shapes.GNU, prefix=b"usr/bin/xxxxxxxx") + END, 'atime "usr/bin/xxxx" is not a valid octal number'),
    "magic of no format": (shapes.block(magic=b"ustar 00", prefix=b"p") + END, 'magic "ustar 00" is neither'),
    "prefix of star without end": (shapes.changed(shapes.block(shapes.WRITERS["star"]), 345, b"p" * 131) + END, "star's prefix has no NUL at its end"),
    "file with a slash": (shapes.block(name=b"d/") + END, "its name ends with a slash"),
    "old file with a slash in its record": (shapes.extension({b"path": b"d/"}) + shapes.block(kind=b"\0") + END, "its name ends with a slash"),
    "old file with a slash in its header": (shapes.extension({b"path": b"d"}) + shapes.block(name=b"d/", kind=b"\0") + END, "its name ends with a slash"),
    "file at the root": (shapes.block(name=b".") + END, "the root must be a directory"),
    "target of a file": (shapes.extension({b"linkpath": b"x"}) + shapes.block() + END, "bsdtar takes it for a link"),
    "symbolic link with a size": (shapes.block(kind=b"2", link=b"x", size=512) + END, "is a symbolic link of size 512"),
    "Solaris's extended header": (shapes.extension({b"path": b"b"}, kind=b"X") + shapes.block() + END, 'type "X" is not a type'),
    "header of all entries after one of an entry": (shapes.extension({b"path": b"b"}) + shapes.extension({b"comment": b"c"}, kind=b"g") + shapes.block() + END, "the header at byte 1024: a pax header for all entries"),
    "two long names": (shapes.long_name(b"a") + shapes.long_name(b"b") + shapes.block() + END, "a second long name"),
    "long name with a NUL": (shapes.long_name(b"a\0b") + shapes.block() + END, "is empty or has a NUL"),
    "two values of a record": (shapes.extension([(b"path", b"b"), (b"path", b"c")]) + shapes.block() + END, 'record "path" is there twice, with different values'),
    "record without value": (shapes.extension({b"path": b""}) + shapes.block() + END, "record path has no value"),
    "name of a record with a NUL": (shapes.extension({b"a\0": b"b"}) + shapes.block() + END, "no valid record at byte 0"),
    "time of letters": (shapes.extension({b"mtime": b"now"}) + shapes.block() + END, 'record mtime="now" is not a valid time'),
    "capabilities in other letters": (shapes.extension({b"LIBARCHIVE.xattr.security%2Ecapability": b"AQ"}) + shapes.block() + END, "stands for LIBARCHIVE.xattr.security.capability"),
    "real size of star": (shapes.extension({b"SCHILY.realsize": b"9"}) + shapes.block() + END, "record SCHILY.realsize is not the size"),
    "sparse file of star": (shapes.block(kind=b"S") + END, "a sparse file of star"),
    "pieces out of order": (shapes.old_sparse(pieces=[(4096, 512), (0, 512)]) + END, "pieces that overlap"),
    "pieces shorter than the content": (shapes.changed(shapes.old_sparse(), 398, b"%011o\0" % 511) + END, "not as long as its content"),
    "number of pieces": (shapes.pax_sparse("0.1").replace(b"numblocks=2", b"numblocks=3") + END, "is not the number of pieces"),
    "sparse map without end": (shapes.pax_sparse("1.0").replace(b"2\n0\n512", b"9\n0\n512") + END, "the map of a sparse file has no end"),
    "unknown sparse format": (shapes.pax_sparse("1.0").replace(b"major=1", b"major=2") + END, "of no known format"),
    "size of a sparse file in another header": (shapes.changed(shapes.block(magic=shapes.GNU), 483, b"%011o\0" % 9) + END, "which bsdtar takes for its size"),
    "a lone zero block": (ONE + bytes(512) + ONE, "a lone block of zeros before byte 3072"),
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


def test_too_many_records(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "RECORDS", 1000)
    few = [shapes.extension({b"%d" % number: b"" for number in range(100)}) + shapes.block()] * 10
    sparse = shapes.old_sparse(pieces=[(number, 1) for number in range(1000)], size=1000)
    assert len(list(Archive(io.BytesIO(b"".join(few) + END)))) == 10
    for tar in (b"".join(few) + few[0], sparse + sparse, shapes.pax_sparse("1.0") * 200):
        with pytest.raises(ArchiveError, match="more than 1000 pax records and pieces of sparse files"):
            list(Archive(io.BytesIO(tar)))
