"""Zip archives, ar archives, Debian packages and tars are compared by their members."""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
import random
import subprocess
import tarfile
import zipfile

import pytest
from comparing import compare, find

from support import require

EARLY, LATE = (1980, 1, 1, 0, 0, 0), (2026, 11, 26, 20, 15, 30)


@dataclasses.dataclass(frozen=True)
class File:
    """A member of an archive."""

    name: str
    data: bytes = b""
    time: tuple[int, ...] = EARLY
    mode: int = 0o644
    method: int = zipfile.ZIP_DEFLATED
    extra: bytes = b""
    comment: bytes = b""


FILES = (
    File("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\nCreated-By: 17\n"),
    File("com/example/Main.class", random.Random(4).randbytes(3000)),
    File("bin/run.sh", b"#!/bin/sh\nexec java Main\n" * 50, mode=0o755),
)


def make_zip(*files: File, level: int = 6, comment: bytes = b"", prefix: bytes = b"") -> bytes:
    file = io.BytesIO(prefix)
    with zipfile.ZipFile(file, "a") as archive:
        for member in files:
            info = zipfile.ZipInfo(member.name, member.time)
            info.external_attr, info.compress_type = member.mode << 16, member.method
            info.extra, info.comment = member.extra, member.comment
            archive.writestr(info, member.data, compresslevel=level)
        archive.comment = comment
    return file.getvalue()


def change(**fields) -> tuple[File, ...]:
    """Returns FILES with other values of the last one."""
    return (*FILES[:-1], dataclasses.replace(FILES[-1], **fields))


ZIP = make_zip(*FILES)


def test_times_of_all_members_are_one_finding():
    difference = compare(ZIP, make_zip(*(dataclasses.replace(file, time=LATE) for file in FILES)))
    assert difference.type == "zip archive"
    assert difference.summary == "time of all 3 members"
    assert difference.details == ("time of all 3 members; of META-INF/MANIFEST.MF: 1980-01-01 00:00:00 -> 2026-11-26 20:15:30",)
    assert difference.causes == ("timestamp: time of all 3 members, such as 1980-01-01 00:00:00 -> 2026-11-26 20:15:30",)


@pytest.mark.parametrize(
    ("other", "summary", "detail"),
    [
        (make_zip(*change(time=LATE)), "time of 1 member", "time of bin/run.sh: 1980-01-01 00:00:00 -> 2026-11-26 20:15:30"),
        (make_zip(*change(mode=0o644)), "mode of 1 member", "mode of bin/run.sh: 755 -> 644"),
        (make_zip(*change(method=zipfile.ZIP_STORED)), "method of 1 member", "method of bin/run.sh: deflate -> stored"),
        (make_zip(*change(comment=b"built here")), "comment of 1 member", r"comment of bin/run.sh: none -> built\ here"),
        (make_zip(*FILES, comment=b"today"), "comment of the archive", "comment of the archive: none -> today"),
        (
            make_zip(*change(extra=b"UT\5\0\1" + (1795726776).to_bytes(4, "little"))),
            "extended time of 1 member",
            "extended time of bin/run.sh: none -> 2026-11-26 20:59:36",
        ),
        (make_zip(*change(extra=b"\xfe\xca\0\0")), "extra fields of 1 member", "extra fields of bin/run.sh: none -> jar:"),
        (make_zip(*FILES[:-1]), "1 member removed", "removed: bin/run.sh"),
        (make_zip(*FILES, File("new")), "1 member added", "added: new"),
        (
            make_zip(FILES[1], FILES[0], FILES[2]),
            "order of members",
            "order: META-INF/MANIFEST.MF is before com/example/Main.class in the first file, and after it in the second",
        ),
    ],
)
def test_one_change_of_a_zip_is_one_finding(other, summary, detail):
    difference = compare(ZIP, other)
    assert difference.summary == summary
    assert difference.details == (detail,)
    reverse = compare(other, ZIP)
    assert len(reverse.details) == 1 and reverse.summary.replace("added", "removed") == summary.replace("added", "removed")


def test_only_the_compression_of_a_zip_differs():
    difference = compare(ZIP, make_zip(*FILES, level=1))
    assert difference.summary == "only the compression of members differs; their contents are equal"
    assert difference.causes == ("compression: another level or another program",)


def test_the_content_of_a_member_is_compared_by_what_it_is():
    difference = compare(ZIP, make_zip(*change(data=FILES[-1].data.replace(b"exec", b"EXEC", 1))))
    assert difference.summary == "content of 1 member: bin/run.sh"
    assert difference.details == (
        "bin/run.sh: text: 1 line removed, 1 added",
        "  @@ -1,3 +1,3 @@",
        "    #!/bin/sh",
        "  - exec java Main",
        "  + EXEC java Main",
        "    #!/bin/sh",
    )


def test_a_zip_within_a_zip_is_opened():
    inner = (ZIP, make_zip(*(dataclasses.replace(file, time=LATE) for file in FILES)))
    difference = compare(*(make_zip(File("lib/inner.jar", data)) for data in inner))
    assert difference.summary == "content of 1 member: lib/inner.jar"
    assert difference.details[0] == "lib/inner.jar: zip archive: time of all 3 members"
    assert find(difference.causes, "timestamp").endswith(", in lib/inner.jar")


def test_members_of_one_name_are_paired_in_order():
    one, two, three = (File("twice", text) for text in (b"one\n", b"two\n", b"three\n"))
    with pytest.warns(UserWarning, match="Duplicate name"):
        difference = compare(make_zip(one, two), make_zip(one, three))
    assert difference.details[-2:] == ("  - two", "  + three")


def test_a_zipapp_with_another_first_line_is_named():
    difference = compare(*(make_zip(*FILES, prefix=f"#!/usr/bin/python3.{minor}\n".encode()) for minor in (13, 14)))
    assert difference.summary == "bytes before the first member"
    find(difference.details, "+ #!/usr/bin/python3.14")


def test_many_members_give_few_lines():
    files = [[File(f"{number}.txt", b"%d %d\n" % (side, number)) for number in range(3000)] for side in (1, 2)]
    difference = compare(*(make_zip(*members) for members in files))
    assert difference.summary == "content of 3,000 members: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 2,995 more"
    assert len(difference.details) < 61


def make_ar(directory: pathlib.Path, flags: str, files: dict[str, bytes]) -> bytes:
    for name, data in files.items():
        (directory / name).write_bytes(data)
    archive = directory / "archive.a"
    archive.unlink(missing_ok=True)
    subprocess.run([require.tool("ar"), flags, archive, *files], cwd=directory, check=True, capture_output=True)
    return archive.read_bytes()


OBJECTS = {"one.o": b"first", "a_name_of_more_than_sixteen_bytes.o": b"second\n"}


def test_ar_with_and_without_d(tmp_path):
    for name, data in OBJECTS.items():
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (0, 1795726776))
    archives = []
    for flags in ("rcD", "rcU"):
        path = tmp_path / f"{flags}.a"
        subprocess.run([require.tool("ar"), flags, path, *OBJECTS], cwd=tmp_path, check=True, capture_output=True)
        archives.append(path)
    difference = compare(*archives)
    assert difference.type == "ar archive"
    assert difference.summary.startswith("time of 2 members; ")
    find(difference.details, "of one.o: 0 -> 1795726776 (2026-11-26 20:59:36)")
    find(difference.details, "modifier D")
    find(difference.causes, "timestamp: time of 2 members")


def test_members_of_an_ar_archive_are_compared(tmp_path):
    archive = make_ar(tmp_path, "rcD", OBJECTS)
    other = make_ar(tmp_path, "rcD", {**OBJECTS, "a_name_of_more_than_sixteen_bytes.o": b"other\n"})
    difference = compare(archive, other)
    assert difference.summary == "content of 1 member: a_name_of_more_than_sixteen_bytes.o"
    assert difference.details[-2:] == ("  - second", "  + other")
    assert compare(archive, make_ar(tmp_path, "rcD", dict(reversed(OBJECTS.items())))).summary == "order of members"
    assert compare(archive, make_ar(tmp_path, "rcD", {"one.o": b"first"})).summary.startswith("2 members removed")


def test_thin_archives_are_compared_by_their_headers(tmp_path):
    archive = make_ar(tmp_path, "rcDT", OBJECTS)
    assert archive.startswith(b"!<thin>\n")
    other = archive.replace(b"one.o", b"two.o")
    assert compare(archive, other).summary == "1 member removed; 1 member added; content of 1 member: (names)"


def test_a_debian_package_is_opened_down_to_the_file(tmp_path):
    packages = []
    for number in (1, 2):
        directory = tmp_path / f"package{number}"
        (directory / "DEBIAN").mkdir(parents=True)
        (directory / "DEBIAN/control").write_text(
            "Package: app\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: app\n"
        )
        (directory / "etc").mkdir()
        (directory / "etc/app.conf").write_text(f"# built in /home/user{number}/app\n")
        packages.append(tmp_path / f"app{number}.deb")
        subprocess.run(
            [require.tool("dpkg-deb"), "--root-owner-group", "--build", directory, packages[-1]],
            check=True,
            capture_output=True,
            env={**os.environ, "SOURCE_DATE_EPOCH": "0"},
        )
    difference = compare(*packages)
    assert difference.type == "Debian package"
    assert "data.tar" in difference.summary
    find(difference.details, "/etc/app.conf: text: 1 line removed, 1 added")
    find(difference.causes, "embedded path: /home/user1/app -> /home/user2/app")


def make_tar(*names: str, mtime: float = 0, records: dict[str, str] | None = None, **fields) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            data = f"content of {name}\n".encode()
            info.size, info.mtime, info.pax_headers = len(data), mtime, records or {}
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


CAPABILITY = "\1\0\0\2\0\4\0\0" + "\0" * 12  # cap_net_bind_service=ep


@pytest.mark.parametrize(
    ("other", "detail"),
    [
        (make_tar("a", mtime=5.5), "time of /a: 1970-01-01 00:00:00 -> 1970-01-01 00:00:05.5"),
        (make_tar("a", mode=0o755), "mode of /a: 644 -> 755"),
        (make_tar("a", uid=5), "uid of /a: 0 -> 5"),
        (make_tar("a", gid=5), "gid of /a: 0 -> 5"),
        (
            make_tar("a", records={"SCHILY.xattr.security.capability": CAPABILITY}),
            "capabilities of /a: none -> cap_net_bind_service=ep",
        ),
        (make_tar("a", records={"SCHILY.xattr.security.capability": "x"}), "capabilities of /a: none -> invalid 78"),
        (make_tar("a", records={"SCHILY.xattr.user.x": "y"}), "extended attributes of /a: none -> user.x=79"),
        (make_tar("a", "b"), "added: /b"),
    ],
)
def test_a_tar_within_an_image_is_compared_by_its_entries(other, detail):
    difference = compare(make_tar("a"), other)
    assert difference.type == "tar"
    assert difference.details == (detail,)


def test_another_encoding_of_a_tar_is_told_apart():
    assert (
        compare(make_tar("a"), make_tar("a", uname="somebody")).summary == "only the encoding of headers or the padding differs"
    )
