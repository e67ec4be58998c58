"""Archives that are damaged, too large, or read differently by different programs are refused, with one line each."""

from __future__ import annotations

import io
import tarfile

import pytest
import shapes
from tars import END, KILL, carrying, changed_header, make_tar, pax_entry, problems_of, retrofit, without_end, write

from rules_setcap.archive.reader import TarError, TarReader
from rules_setcap.diagnostics import limits


def _make_global_header(size: int) -> bytes:
    """Returns a global pax header with a comment of `size` bytes."""
    return changed_header(pax_entry("a", {b"comment": b"x" * size})[: 512 + -(-(size + 16) // 512) * 512], 156, b"g")


def _make_old_sparse(maps: int) -> bytes:
    """Returns an empty sparse file in GNU tar's old format, whose map has `maps` further blocks."""
    more = [bytes(504) + b"\1" + bytes(7)] * (maps - 1) + [bytes(512)]
    return changed_header(
        changed_header(without_end(make_tar({"name": "s", "content": b""}, tar_format=tarfile.GNU_FORMAT))[:512], 156, b"S"),
        482,
        b"\1",
    ) + b"".join(more)


ONE = without_end(make_tar({"name": "server"}))
REFUSED = {
    "truncated": (ONE[:700], "ends within the content of an entry"),
    "no end": (ONE, "ends without an end-of-archive marker"),
    "half a header": (ONE + ONE[:100], "ends within a header"),
    "empty": (b"", "ends without an end-of-archive marker"),
    "garbage": (b"what is this" * 100, "header"),
    "checksum": (ONE[:10] + b"!" + ONE[11:] + END, "the header at byte 0: the checksum is wrong"),
    "parent": (without_end(make_tar({"name": "a/../../etc/passwd"})) + END, "is not a valid name of an entry"),
    "hard link to a parent": (
        without_end(make_tar({"name": "a", "type": tarfile.LNKTYPE, "link": "../x"})) + END,
        "is not a valid name of an entry",
    ),
    "negative size": (changed_header(ONE, 124, b"\xff" * 12) + END, "size -1 is out of range"),
    "huge size": (changed_header(ONE, 124, b"\x80" + b"\x7f" * 11) + END, "is not a valid octal number"),
    "size of letters": (
        changed_header(ONE, 124, b"0000000zz12\0") + END,
        'the header at byte 0: size "0000000zz12\\u0000" is not a valid octal number',
    ),
    "hard link with content": (changed_header(ONE, 156, b"1server") + END, "is a hard link of size 1804"),
    "volume": (changed_header(ONE, 156, b"M") + END, "is not a type that entries of layers have"),
    "NUL in a name": (without_end(pax_entry("a", {b"path": b"a\0b"})) + END, "has a NUL"),
    "records that lie": (
        without_end(pax_entry("a", {b"path": b"server"})).replace(b"15 path", b"99 path") + END,
        "no valid record at byte 0",
    ),
    "two pax headers": (
        without_end(pax_entry("a", {b"path": b"b"}))[:1024] + without_end(pax_entry("a", {b"path": b"c"})) + END,
        "the header at byte 1024: a second pax header",
    ),
    "pax header at the end": (without_end(pax_entry("a", {b"path": b"b"}))[:1024] + END, "belongs to the next entry"),
    "for all entries": (
        changed_header(without_end(pax_entry("a", {b"SCHILY.xattr.security.capability": b"x"})), 156, b"g") + END,
        "for all entries",
    ),
    "pax header of more than 1 MiB": (pax_entry("a", {b"comment": b"x" * (1 << 20)}) + END, "are not read"),
    "endless headers for all entries": (
        _make_global_header(4096) * 600 + ONE + END,
        "headers of more than 2097152 bytes before one entry",
    ),
    "endless map of a sparse file": (_make_old_sparse(2048) + END, "the map of a sparse file has more than 2047 blocks"),
    "huge pax header": (changed_header(ONE, 124, b"77777777777\0" + b"0" * 12 + b"        x") + END, "are not read"),
    "capabilities of revision 1": (
        carrying("a", bytes.fromhex("000000010000000000000000")) + END,
        "setxattr(2) refuses, so that no container engine can unpack it; in a file system image (squashfs, EROFS) the kernel reads it as =",
    ),
    "link against its target": (ONE + carrying("b", KILL, type=tarfile.LNKTYPE, link="server") + END, "the same file"),
    "something after the end": (ONE + END + ONE, "has something after its end, at byte 3584"),
    "size that starts with NUL": (
        shapes.make_header(size_field=b"\0%010o\0" % 512) + bytes(512) + END,
        'the header at byte 0: size "\\u00000000001000\\u0000" is not a valid octal number',
    ),
    "number with something after it": (
        ONE + shapes.make_header(mode=b"755 7\0  ") + END,
        'the header at byte 2560: mode "755 7\\u0000  " is not a valid octal number',
    ),
    "number of base 256 in another form": (shapes.make_header(uid=b"\x81" + bytes(7)) + END, 'uid "\\u0081\\u0000'),
    "negative owner": (shapes.make_header(gid=-2) + END, "gid -2 is out of range (0 to 4294967294)"),
    "owner that chown ignores": (
        shapes.make_pax_header({b"uid": b"4294967295"}) + shapes.make_header() + END,
        "the header at byte 1024: uid 4294967295 is out of range",
    ),
    "owner with a sign": (
        shapes.make_pax_header({b"uid": b"+1"}) + shapes.make_header() + END,
        'record uid="+1" is not a valid number',
    ),
    "prefix in GNU tar's format": (
        shapes.make_header(magic=shapes.GNU, prefix=b"usr/bin/xxxxxxxx") + END,
        'atime "usr/bin/xxxx" is not a valid octal number',
    ),
    "magic of no format": (shapes.make_header(magic=b"ustar 00", prefix=b"p") + END, 'magic "ustar 00" is neither'),
    "prefix of star without end": (
        shapes.change_header(shapes.make_header(shapes.WRITERS["star"]), 345, b"p" * 131) + END,
        "star's prefix has no NUL at its end",
    ),
    "file with a slash": (shapes.make_header(name=b"d/") + END, "its name ends with a slash"),
    "old file with a slash in its record": (
        shapes.make_pax_header({b"path": b"d/"}) + shapes.make_header(kind=b"\0") + END,
        "its name ends with a slash",
    ),
    "old file with a slash in its header": (
        shapes.make_pax_header({b"path": b"d"}) + shapes.make_header(name=b"d/", kind=b"\0") + END,
        "its name ends with a slash",
    ),
    "file at the root": (shapes.make_header(name=b".") + END, "the root must be a directory"),
    "target of a file": (shapes.make_pax_header({b"linkpath": b"x"}) + shapes.make_header() + END, "bsdtar takes it for a link"),
    "symbolic link with a size": (shapes.make_header(kind=b"2", link=b"x", size=512) + END, "is a symbolic link of size 512"),
    "Solaris's extended header": (
        shapes.make_pax_header({b"path": b"b"}, kind=b"X") + shapes.make_header() + END,
        'type "X" is not a type',
    ),
    "header of all entries after one of an entry": (
        shapes.make_pax_header({b"path": b"b"})
        + shapes.make_pax_header({b"comment": b"c"}, kind=b"g")
        + shapes.make_header()
        + END,
        "the header at byte 1024: a pax header for all entries",
    ),
    "two long names": (
        shapes.make_long_name(b"a") + shapes.make_long_name(b"b") + shapes.make_header() + END,
        "a second long name",
    ),
    "long name with a NUL": (shapes.make_long_name(b"a\0b") + shapes.make_header() + END, "is empty or has a NUL"),
    "two values of a record": (
        shapes.make_pax_header([(b"path", b"b"), (b"path", b"c")]) + shapes.make_header() + END,
        'record "path" is there twice, with different values',
    ),
    "record without value": (shapes.make_pax_header({b"path": b""}) + shapes.make_header() + END, "record path has no value"),
    "name of a record with a NUL": (
        shapes.make_pax_header({b"a\0": b"b"}) + shapes.make_header() + END,
        "no valid record at byte 0",
    ),
    "time of letters": (
        shapes.make_pax_header({b"mtime": b"now"}) + shapes.make_header() + END,
        'record mtime="now" is not a valid time',
    ),
    "capabilities in other letters": (
        shapes.make_pax_header({b"LIBARCHIVE.xattr.security%2Ecapability": b"AQ"}) + shapes.make_header() + END,
        "stands for LIBARCHIVE.xattr.security.capability",
    ),
    "real size of star": (
        shapes.make_pax_header({b"SCHILY.realsize": b"9"}) + shapes.make_header() + END,
        "record SCHILY.realsize is not the size",
    ),
    "sparse file of star": (shapes.make_header(kind=b"S") + END, "a sparse file of star"),
    "pieces out of order": (shapes.make_old_sparse(pieces=[(4096, 512), (0, 512)]) + END, "pieces that overlap"),
    "pieces shorter than the content": (
        shapes.change_header(shapes.make_old_sparse(), 398, b"%011o\0" % 511) + END,
        "not as long as its content",
    ),
    "number of pieces": (
        shapes.make_pax_sparse("0.1").replace(b"numblocks=2", b"numblocks=3") + END,
        "is not the number of pieces",
    ),
    "sparse map without end": (
        shapes.make_pax_sparse("1.0").replace(b"2\n0\n512", b"9\n0\n512") + END,
        "the map of a sparse file has no end",
    ),
    "unknown sparse format": (shapes.make_pax_sparse("1.0").replace(b"major=1", b"major=2") + END, "of no known format"),
    "size of a sparse file in another header": (
        shapes.change_header(shapes.make_header(magic=shapes.GNU), 483, b"%011o\0" % 9) + END,
        "which bsdtar takes for its size",
    ),
    "a lone zero block": (ONE + bytes(512) + ONE, "a lone block of zeros before byte 3072"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_archive_is_refused(name, tmp_path):
    tar, message = REFUSED[name]
    problems = problems_of(tmp_path, tar)
    assert message in "\n".join(problems), problems


def test_headers_within_the_limits_are_copied(tmp_path):
    tar = write(
        tmp_path,
        without_end(pax_entry("a", {b"comment": b"x" * ((1 << 20) - 20)})),
        _make_global_header(4096) * 400,
        ONE,
        _make_old_sparse(2047),
        END,
    )
    before = tar.read_bytes()
    assert retrofit(tmp_path, tar) == (0, "")
    assert (tmp_path / "out").read_bytes() == before


def test_too_many_records_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "RECORDS", 1000)
    few = [shapes.make_pax_header({b"%d" % number: b"" for number in range(100)}) + shapes.make_header()] * 10
    sparse = shapes.make_old_sparse(pieces=[(number, 1) for number in range(1000)], size=1000)
    assert len(list(TarReader(io.BytesIO(b"".join(few) + END)))) == 10
    for tar in (b"".join(few) + few[0], sparse + sparse, shapes.make_pax_sparse("1.0") * 200):
        with pytest.raises(TarError, match="more than 1000 pax records and pieces of sparse files"):
            list(TarReader(io.BytesIO(tar)))
