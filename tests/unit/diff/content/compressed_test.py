"""Compressed files are compared by the header of their format and by their content."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import subprocess
import tarfile

import pytest
from comparing import compare, find

from support import require

TEXT = "".join(f"line {number} of a text\n" for number in range(500)).encode()
OTHER = TEXT.replace(b"line 77 ", b"LINE 77 ")
COMMANDS = {"gzip": ["-n"], "zstd": ["-q"], "xz": [], "bzip2": []}


def run(program: str, *flags: str, data: bytes = TEXT) -> bytes:
    return subprocess.run([require.tool(program), *flags, "-c"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("codec", COMMANDS)
def test_the_content_is_compared_whatever_the_codec(codec):
    difference = compare(*(run(codec, *COMMANDS[codec], data=data) for data in (TEXT, OTHER)))
    assert difference.type == codec
    assert difference.summary == "the content differs: text: 1 line removed, 1 added"
    assert difference.details[1:4] == ("  line 76 of a text", "- line 77 of a text", "+ LINE 77 of a text")


@pytest.mark.parametrize(("codec", "levels"), [("gzip", "19"), ("zstd", "19"), ("xz", "19"), ("bzip2", "19")])
def test_only_the_compression_differs(codec, levels):
    data = TEXT * 30  # bzip2's level is the size of a block.
    difference = compare(*(run(codec, *COMMANDS[codec], f"-{level}", data=data) for level in levels))
    assert difference.summary == "only the compression differs; the content is equal"
    find(difference.causes, "compression: another level")


@pytest.mark.parametrize("codecs", [("gzip", "zstd"), ("xz", "bzip2"), ("zstd", "xz")])
def test_another_codec_is_named(codecs):
    difference = compare(*(run(codec, *COMMANDS[codec]) for codec in codecs))
    assert difference.type == " -> ".join(codecs)
    assert difference.summary == "only the compression differs; the content is equal"
    assert difference.causes == (f"compression: {codecs[0]} -> {codecs[1]}",)


def test_gzip_with_and_without_n(tmp_path):
    file = tmp_path / "page.txt"
    file.write_bytes(TEXT)
    os.utime(file, (0, 1795726776))
    with_name, without = (
        subprocess.run([require.tool("gzip"), *flags, "-c", file], capture_output=True, check=True).stdout
        for flags in ([], ["-n"])
    )
    difference = compare(without, with_name)
    assert difference.summary == "only the header differs: time, file name; the content is equal"
    assert difference.details == (
        "time in the gzip header: none -> 2026-11-26 20:59:36",
        "file name in the gzip header: none -> page.txt",
    )
    assert difference.causes[0] == "timestamp: in the gzip header, none -> 2026-11-26 20:59:36"


def test_the_operating_system_of_gzip_is_named():
    data = gzip.compress(TEXT, mtime=0)
    other = data[:9] + bytes([3 if data[9] != 3 else 255]) + data[10:]
    assert compare(data, other).summary == "only the header differs: system; the content is equal"


def test_fields_of_the_headers_of_zstd_and_xz_are_named():
    find(compare(run("zstd", "-q", "--check"), run("zstd", "-q", "--no-check")).details, "checksum in the zstd header: yes -> no")
    find(compare(run("xz", "--check=crc32"), run("xz", "--check=sha256")).details, "check in the xz header: CRC32 -> SHA-256")


def test_a_tar_within_a_compressed_file_is_opened():
    tars = []
    for data in (TEXT, OTHER):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            info = tarfile.TarInfo("share/doc/text")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        tars.append(gzip.compress(file.getvalue(), mtime=0))
    difference = compare(*tars, name="share/doc.tar.gz")
    assert difference.summary == "the content differs: tar: content of 1 member: /share/doc/text"
    find(difference.details, "/share/doc/text: text: 1 line removed, 1 added")


def test_several_members_are_one_content():
    halves = TEXT[:4000], TEXT[4000:]
    difference = compare(bz2.compress(TEXT), b"".join(map(bz2.compress, halves)))
    assert difference.summary == "only the compression differs; the content is equal"


@pytest.mark.parametrize("codec", COMMANDS)
def test_a_damaged_file_is_compared_byte_by_byte(codec):
    data = run(codec, *COMMANDS[codec])
    difference = compare(data, data[: len(data) // 2])
    assert difference.type == codec
    assert difference.summary.startswith("the first file has ")
    find(difference.details, "compared byte by byte: damaged", codec)
