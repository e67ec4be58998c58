"""elf.py reads real programs as readelf does, and refuses damaged ones."""

from __future__ import annotations

import io
import pathlib
import random
import re
import struct
import subprocess

import pytest

from rules_setcap.executables import elf
from support import require

PROGRAMS = {
    "static": ["-static"],
    "dynamic": [],
    "runpath": ["-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib:/opt/lib"],
    "rpath": ["-Wl,--disable-new-dtags,-rpath,$ORIGIN"],
    "libraries": ["-Wl,--no-as-needed", "-lm"],
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> dict[str, pathlib.Path]:
    directory = tmp_path_factory.mktemp("programs")
    (directory / "main.c").write_text("int main(void) { return 0; }\n")
    for name, flags in PROGRAMS.items():
        subprocess.run([require.tool("gcc"), "main.c", "-o", name, *flags], cwd=directory, check=True)
    return {name: directory / name for name in PROGRAMS}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_read_as_readelf_reads_it(name, programs):
    with open(programs[name], "rb") as file:
        program = elf.read_program(file)
    output = subprocess.run(
        [require.tool("readelf"), "-W", "-h", "-l", "-d", programs[name]], check=True, capture_output=True, text=True
    ).stdout
    assert program.bits == int(re.search(r"Class: +ELF(\d+)", output)[1])
    assert program.little == ("little endian" in output)
    assert list(program.needed) == re.findall(r"\(NEEDED\).*\[(.*)\]", output)
    assert [program.runpath] * bool(program.runpath) == re.findall(r"\(RUNPATH\).*\[(.*)\]", output)
    assert [program.rpath] * bool(program.rpath) == re.findall(r"\(RPATH\).*\[(.*)\]", output)
    assert [program.interpreter] * bool(program.interpreter) == re.findall(r"program interpreter: (.*)\]", output)
    assert bool(program.interpreter) == (name != "static")
    assert program.runpath == ("$ORIGIN/../lib:/opt/lib" if name == "runpath" else "")


def test_a_damaged_program_is_read_or_refused(programs):
    """Bytes of the headers are replaced, and parts of the file are missing."""
    chance = random.Random(7)
    refused = 0
    for path in programs.values():
        data = path.read_bytes()
        with open(path, "rb") as file:
            assert elf.read_program(file)
        # The headers, and the dynamic section with its names.
        starts = [0, max(data.find(b"libc.so.6") - 200, 0), max(len(data) - 8192, 0)]
        for _ in range(3000):
            damaged = bytearray(data)
            for _ in range(chance.randint(1, 6)):
                damaged[min(chance.choice(starts) + chance.randrange(800), len(data) - 1)] = chance.choice(
                    [0, 1, 127, 255, chance.randrange(256)]
                )
            if chance.random() < 0.2:
                del damaged[chance.randrange(len(damaged)) :]
            try:
                elf.read_program(io.BytesIO(damaged))
            except elf.ElfError:
                refused += 1
    assert refused > 1000


def _make_program(needed: int = 1, *, tags: int = 0, names: int = 0, headers: int = 2) -> bytes:
    """Returns a 64-bit program that is made by hand.

    Args:
      needed: the number of libraries that it needs.
      tags: the number of other entries of its dynamic section.
      names: the size of its string table in bytes; 0 for the size that it needs.
      headers: the number of program headers.
    """
    text = b"\0libx.so\0".ljust(names, b"\0")
    entries = [(1, 1)] * needed + [(0x6FFFFEF0, 0)] * tags + [(5, 0), (10, len(text)), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    start = 64 + 56 * headers
    ident = b"\x7fELF\2\1\1".ljust(16, b"\0")
    head = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, headers, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 4, start, 0, 0, len(text), len(text), 1)
    dynamic_header = struct.pack("<IIQQQQQQ", 2, 4, start + len(text), 1 << 40, 0, len(dynamic), len(dynamic), 8)
    return head + load + dynamic_header + bytes(56) * (headers - 2) + text + dynamic


LIMITS = {
    "needed": 1024,
    "tags": (1 << 16) - 4,
    "names": 16 << 20,
    "headers": 1 << 12,
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_program_within_a_limit_is_read_and_one_beyond_is_refused(name):
    most = LIMITS[name]
    assert set(elf.read_program(io.BytesIO(_make_program(**{name: most}))).needed) == {"libx.so"}
    with pytest.raises(elf.ElfError):
        elf.read_program(io.BytesIO(_make_program(**{name: most + 1})))


def test_names_outside_the_string_table_are_refused():
    data = bytearray(_make_program())
    at = data.rindex(struct.pack("<qQ", 1, 1))
    for value in (9, 10, 1 << 40):
        data[at : at + 16] = struct.pack("<qQ", 1, value)
        if value == 9:  # The end of the table: an empty name.
            assert elf.read_program(io.BytesIO(data)).needed == ("",)
        else:
            with pytest.raises(elf.ElfError):
                elf.read_program(io.BytesIO(data))
