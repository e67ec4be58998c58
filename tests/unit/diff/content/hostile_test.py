"""Hostile and huge files are compared in bounded time and memory, and never end in an error."""

from __future__ import annotations

import gzip
import io
import os
import pathlib
import random
import struct
import subprocess
import sys
import tarfile
import zipfile

import pytest
from comparing import compare, find

from rules_setcap.diff.content import compare_contents
from support import require

SECONDS, MEMORY = 30, 256 << 20

# Compares two files in a process of its own, and prints the summary, the time and the largest resident set.
PROGRAM = """\
import resource, sys
from rules_setcap.diff.content import compare_contents
with open(sys.argv[1], "rb") as before, open(sys.argv[2], "rb") as after:
    difference = compare_contents("file", before, after)
usage = resource.getrusage(resource.RUSAGE_SELF)
print(difference.type, difference.summary, *difference.details, sep="\\n")
# The ru_maxrss of a child begins with that of its parent; VmHWM does not.
memory = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(usage.ru_utime + usage.ru_stime, memory)
"""


def measure(before: pathlib.Path, after: pathlib.Path, memory: int = MEMORY) -> list[str]:
    """Compares two files, checks the limits, and returns the lines of the difference."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM, before, after]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=200)
    *lines, usage = done.stdout.splitlines()
    seconds, peak = map(float, usage.split())
    print(f"{seconds:.1f} s, {peak / 1e6:.0f} MB: {lines[:2]}")
    assert seconds < SECONDS
    assert peak < memory
    return lines


def write_sparse(path: pathlib.Path, size: int, pieces: dict[int, bytes]) -> pathlib.Path:
    with open(path, "wb") as file:
        file.truncate(size)
        for place, data in pieces.items():
            file.seek(place)
            file.write(data)
    return path


def test_a_file_of_gigabytes_is_compared_in_little_memory(tmp_path):
    place = (2 << 30) - 12_345
    one, other = (write_sparse(tmp_path / name.decode(), 3 << 30, {0: b"\0\xff", place: name}) for name in (b"one", b"two"))
    lines = measure(one, other, 64 << 20)
    assert lines[:2] == ["data", f"3 bytes differ at byte {place:,}"]


def test_gigabytes_that_differ_everywhere_are_bounded(tmp_path):
    one = write_sparse(tmp_path / "one", 2 << 30, {0: b"\0\xff"})
    other = tmp_path / "other"
    with open(other, "wb") as file:
        file.writelines(b"\1\0" * (1 << 19) for _ in range(600))
        file.truncate(2 << 30)
    lines = measure(one, other, 64 << 20)
    assert lines[1].startswith("at least ")


def test_a_text_of_a_gigabyte_is_bounded(tmp_path):
    block = b"".join(b"line %d\n" % number for number in range(100_000))
    one, other = tmp_path / "one", tmp_path / "other"
    for path, end in ((one, b"one\n"), (other, b"two\n")):
        with open(path, "wb") as file:
            file.writelines(block for _ in range(600))
            file.write(end)
    lines = measure(one, other, 64 << 20)
    assert lines[0] == "text" and "- one" in lines and "+ two" in lines
    assert lines[2] == "@@ -60000001,1 +60000001,1 @@"


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> bytes:
    directory = tmp_path_factory.mktemp("program")
    (directory / "main.c").write_text("int main(void) { return 0; }\n")
    subprocess.run([require.tool("gcc"), "-g", "main.c", "-o", "main"], cwd=directory, check=True)
    return (directory / "main").read_bytes()


def make_samples(program: bytes) -> dict[str, bytes]:
    """Returns a small file of each kind."""
    archive, tar = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(5):
            file.writestr(f"member{number}", f"content {number}\n" * 20)
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as file:
        for number in range(5):
            info = tarfile.TarInfo(f"member{number}")
            info.size, info.pax_headers = 600, {"SCHILY.xattr.user.x": "y" * number}
            file.addfile(info, io.BytesIO(b"x" * 600))
    header = b"%-16s%-12d%-6d%-6d%-8o%-10d`\n"
    ar = b"!<arch>\n" + b"".join(header % (b"member%d/" % number, 0, 0, 0, 0o644, 8) + b"content\n" for number in range(5))
    return {
        "ELF": program,
        "zip": archive.getvalue(),
        "tar": tar.getvalue(),
        "ar": ar,
        "gzip": gzip.compress(tar.getvalue(), mtime=0),
        "bytecode": (3495).to_bytes(2, "little") + b"\r\n" + bytes(12) + b"/a/path/of/code.py" * 20,
        "text": b"a line of text\n" * 100,
    }


@pytest.mark.parametrize("kind", ["ELF", "zip", "tar", "ar", "gzip", "bytecode", "text"])
def test_damaged_files_of_every_kind_are_compared(kind, program):
    seed = 11
    print("seed", seed)
    chance = random.Random(seed)
    data = make_samples(program)[kind]
    fallbacks = 0
    # The headers and the tables of most formats are at the start and at the end.
    areas = [(0, min(len(data), 700)), (max(len(data) - 2500, 0), len(data))]
    for _ in range(600):
        pair = []
        for _ in range(2):
            damaged = bytearray(data)
            for _ in range(chance.randint(0, 4)):
                start, end = chance.choice(areas)
                damaged[chance.randrange(start, end)] = chance.choice([0, 1, 127, 255, chance.randrange(256)])
            if chance.random() < 0.2:
                del damaged[chance.randrange(1, len(damaged)) :]
            pair.append(bytes(damaged))
        difference = compare_contents("file", *map(io.BytesIO, pair))
        assert (difference.summary == "equal") == (pair[0] == pair[1]), difference
        fallbacks += any("compared byte by byte" in line for line in difference.details)
    if kind not in ("bytecode", "text"):
        assert fallbacks > 20


@pytest.mark.parametrize(
    "pair", [(b"\x7fELF", b"\x7fELF\1\1\1"), (b"PK\5\6" + bytes(18), b"PK\5\6" + b"\xff" * 18), (b"!<arch>\n", b"!<arch>\nx")]
)
def test_files_of_headers_only_are_compared(pair):
    assert compare(*pair).summary != "equal"


def make_elf(sections: int, size: int, count: int | None = None, offset: int = 0) -> bytes:
    """Returns an ELF file whose sections are all the same bytes."""
    table = b"".join(struct.pack("<IIQQQQIIQQ", 0, 1, 0, 0, offset, size, 0, 0, 0, 0) for _ in range(sections))
    start = 64 + size
    header = b"\x7fELF\2\1\1" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, start, 0, 64, 0, 0, 64, sections if count is None else count, 0)
    return header + bytes(size) + table


def test_sections_that_overlap_are_refused():
    one = make_elf(2000, 1 << 20)
    difference = compare(one, change_last(one))
    find(difference.details, "compared byte by byte: its sections overlap")


def test_a_section_table_that_names_itself_is_read_once():
    one = make_elf(3, 192, offset=64)
    difference = compare(one, change_last(one))
    assert difference.type.startswith("ELF")


def change_last(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("count", [0xFFFF, 0])
def test_a_section_count_beyond_the_file_is_refused(count):
    one = make_elf(3, 100, count)
    difference = compare(one, change_last(one))
    assert difference.summary.endswith("at byte 355")


def test_a_zip_bomb_is_bounded(tmp_path):
    """Members of 1.5 GiB of zeros, whose last bytes differ."""
    paths = []
    for end in (b"one", b"two"):
        paths.append(tmp_path / f"{end.decode()}.zip")
        with (
            zipfile.ZipFile(paths[-1], "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("zeros", "w", force_zip64=True) as member,
        ):
            for _ in range(24):
                member.write(bytes(64 << 20))
            member.write(end)
    lines = measure(*paths)
    assert any("limit CONTENT_INSIDE" in line for line in lines)


def test_a_gzip_bomb_is_bounded(tmp_path):
    """64 GiB of zeros in many members of gzip."""
    zeros = gzip.compress(bytes(16 << 20), 9, mtime=0)
    paths = [tmp_path / "one", tmp_path / "two"]
    for path in paths:
        path.write_bytes(zeros * 4096 + gzip.compress(path.name.encode(), mtime=0))
    lines = measure(*paths)
    assert any("limit " in line for line in lines)


def test_a_bomb_of_bombs_is_bounded(tmp_path):
    """gzip in gzip in gzip: 4 GiB of zeros in a kilobyte."""
    paths = []
    for end in (b"one", b"two"):
        data = gzip.compress(bytes(256 << 20) + end, 9, mtime=0)
        for _ in range(6):
            data = gzip.compress(data * 16, 9, mtime=0)
        paths.append(tmp_path / end.decode())
        paths[-1].write_bytes(data)
    measure(*paths)


def write_zip_of_many(path: pathlib.Path, count: int, comment: bytes = b"") -> pathlib.Path:
    """Writes a zip of empty members with short names, as records of the smallest size."""
    record = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    local = struct.pack("<4s2B4HL2L2H", b"PK\3\4", 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"x"
    size = len(record) * count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, size, len(local), len(comment)) + comment
    path.write_bytes(local + record * count + end)
    return path


def test_a_zip_of_millions_of_members_is_refused(tmp_path):
    one, other = (write_zip_of_many(tmp_path / name.decode(), 2_000_000, name) for name in (b"one", b"two"))
    lines = measure(one, other)
    assert any("limit CONTENT_" in line for line in lines)


def test_a_zip_of_the_most_members_is_compared(tmp_path):
    one, other = (write_zip_of_many(tmp_path / name.decode(), 65_000, name) for name in (b"one", b"two"))
    lines = measure(one, other)
    assert lines[1] == "comment of the archive"


def test_an_ar_archive_of_millions_of_members_is_refused(tmp_path):
    header = b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (b"x/", 0, 0, 0, 0, 0)
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        path.write_bytes(b"!<arch>\n" + header * 1_000_000 + path.name.encode())
    lines = measure(one, other)
    assert any("limit CONTENT_MEMBERS" in line for line in lines)


def test_a_tar_of_millions_of_entries_is_refused(tmp_path):
    info = tarfile.TarInfo("x")
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        path.write_bytes(info.tobuf() * 200_000 + bytes(1024) + path.name.encode())
    lines = measure(one, other)
    assert any("limit CONTENT_MEMBERS" in line for line in lines)


@pytest.mark.parametrize(
    "line",
    [
        b"x\n",
        b"\n",
        b"a" * 1_000_000,
        b"1234567890 " * 100_000,
        b"/a" * 500_000,
        b"/" * 1_000_000,
        b"2026-11-26 " * 90_000,
        b"{" * 900_000,
    ],
    ids=["letters", "line feeds", "one line", "numbers", "path", "slashes", "dates", "brackets"],
)
def test_texts_that_are_slow_to_search_are_bounded(line, tmp_path):
    text = (line * (1_000_000 // len(line)))[: 1 << 20]
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(text)
    other.write_bytes(b"y" + text[: len(text) // 2] + b"z" + text[len(text) // 2 :])
    measure(one, other)
    # The same within data.
    one.write_bytes(b"\0\xff" + one.read_bytes())
    other.write_bytes(b"\0\xff" + other.read_bytes())
    measure(one, other)


def test_temporary_files_are_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    big = random.Random(1).randbytes(3 << 20)
    compare(gzip.compress(big, 1, mtime=0), gzip.compress(change_last(big), 1, mtime=0))
    assert not list(tmp_path.iterdir())
