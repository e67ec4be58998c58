"""Two programs that a real compiler made differ in what was done differently, and only that is reported."""

from __future__ import annotations

import pathlib
import re
import subprocess

import pytest
from comparing import compare, find

from support import require

SOURCE = """\
#include <stdio.h>
static const char *const file = __FILE__;
int answer(void) { return ANSWER; }
int main(void) { puts(file); return answer(); }
"""


class Compiler:
    """Compiles SOURCE in a directory."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.count = 0

    def compile(self, *flags: str, directory: str = "src", answer: int = 1) -> pathlib.Path:
        source = self.directory / directory / "main.c"
        source.parent.mkdir(exist_ok=True)
        source.write_text(SOURCE)
        self.count += 1
        program = self.directory / f"program{self.count}"
        self.run("gcc", f"-DANSWER={answer}", str(source), "-o", str(program), *flags)
        return program

    def run(self, tool: str, *arguments: str) -> str:
        return subprocess.run(
            [require.tool(tool), *arguments], cwd=self.directory, check=True, capture_output=True, text=True
        ).stdout

    def build_id(self, program: pathlib.Path) -> str:
        return re.search(r"Build ID: (\w+)", self.run("readelf", "-n", str(program)))[1]


@pytest.fixture
def compiler(tmp_path: pathlib.Path) -> Compiler:
    return Compiler(tmp_path)


def test_a_random_build_id_is_all_that_differs(compiler):
    one, other = compiler.compile("-Wl,--build-id=uuid"), compiler.compile("-Wl,--build-id=uuid")
    difference = compare(one, other)
    assert difference.type == "ELF program"
    assert difference.summary == "the build-id differs"
    assert difference.details == (f".note.gnu.build-id: {compiler.build_id(one)} -> {compiler.build_id(other)}",)
    assert "--build-id=uuid" in find(difference.causes, "build-id: everything else is equal")


def test_a_build_id_in_one_program_only_is_named(compiler):
    one, other = compiler.compile("-Wl,--build-id=none", "-s"), compiler.compile("-s")
    difference = compare(one, other)
    assert "1 section added: .note.gnu.build-id" in difference.summary
    find(difference.causes, "build-id: the first file has none")


def test_an_embedded_path_is_named_with_its_section(compiler):
    flags = ("-g0", f"-fmacro-prefix-map={compiler.directory}=/home/builder")
    one, other = compiler.compile(*flags, directory="first"), compiler.compile(*flags, directory="second")
    difference = compare(one, other)
    assert ".rodata" in difference.summary and ".text" not in difference.summary
    assert difference.causes == ("embedded path: /home/builder/first/main.c -> /home/builder/second/main.c, in .rodata",)
    assert difference.details[-2:] == ("  - /home/builder/first/main.c", "  + /home/builder/second/main.c")


def test_a_path_of_debug_information_is_not_the_codes_fault(compiler):
    prefix = f"-fmacro-prefix-map={compiler.directory}"
    one = compiler.compile("-g", f"{prefix}/first=x", directory="first")
    other = compiler.compile("-g", f"{prefix}/second=x", directory="second")
    difference = compare(one, other)
    assert ".rodata" not in difference.summary and ".text" not in difference.summary and ".debug_line_str" in difference.summary
    find(difference.causes, "debug information: the code is equal")
    find(difference.causes, "embedded path: ", "/first", "/second", "in .debug_line_str")
    # Without the debug information the programs are equal but for the build-id, which was computed over it.
    for program in (one, other):
        compiler.run("strip", str(program))
    stripped = compare(one, other)
    assert stripped.summary == "the build-id differs"
    find(stripped.causes, "such as debug information")


def test_mapped_paths_make_equal_programs(compiler):
    flags = [f"-ffile-prefix-map={compiler.directory}/{name}=x" for name in ("first", "second")]
    one, other = (compiler.compile("-g", *flags, directory=name) for name in ("first", "second"))
    assert compare(one, other).summary == "equal"


def test_other_code_is_named(compiler):
    difference = compare(compiler.compile(answer=1), compiler.compile(answer=2))
    assert difference.summary == "1 section differs: .text, and so the build-id"
    find(difference.details, ".text: 1 byte differs")


def test_one_byte_of_code_is_found_at_its_place(compiler):
    program = compiler.compile()
    start = int(re.search(r" \.text +PROGBITS +\w+ (\w+)", compiler.run("readelf", "-SW", str(program)))[1], 16)
    data = bytearray(program.read_bytes())
    data[start + 5] ^= 1
    difference = compare(program, bytes(data))
    assert difference.summary == "1 section differs: .text"
    find(difference.details, ".text: 1 byte differs at byte 5 of ")


def test_a_stripped_program_is_called_stripped(compiler):
    program = compiler.compile("-g")
    stripped = compiler.directory / "stripped"
    compiler.run("strip", "-o", str(stripped), str(program))
    difference = compare(program, stripped)
    assert "removed" in difference.summary and "differ" not in difference.summary
    assert "stripped: the second file has no symbol table" in difference.causes
    assert "debug information: the second file has none" in difference.causes
    assert "stripped: the first file has no symbol table" in compare(stripped, program).causes


def test_another_symbol_is_not_the_codes_fault(compiler):
    program = compiler.compile()
    renamed = compiler.directory / "renamed"
    compiler.run("objcopy", "--redefine-sym", "answer=reply", str(program), str(renamed))
    difference = compare(program, renamed)
    assert ".text" not in difference.summary
    find(difference.details, "- answer")
    find(difference.details, "+ reply")
    find(difference.causes, "symbol table: only the symbols differ")


def test_the_compilers_version_is_shown(compiler):
    program = compiler.compile()
    comment = compiler.directory / "comment"
    comment.write_bytes(b"GCC: (Debian 1.2.3) 1.2.3\0")
    other = compiler.directory / "other"
    compiler.run("objcopy", "--update-section", f".comment={comment}", str(program), str(other))
    difference = compare(program, other)
    assert difference.summary.startswith("1 section differs: .comment")
    find(difference.details, "+ GCC: (Debian 1.2.3) 1.2.3")


def test_what_the_dynamic_linker_reads_is_named(compiler):
    flags = "-Wl,--enable-new-dtags"
    difference = compare(compiler.compile(flags, "-Wl,-rpath,/opt/a"), compiler.compile(flags, "-Wl,-rpath,/opt/b"))
    assert "RUNPATH: /opt/a -> /opt/b" in difference.details
    difference = compare(compiler.compile(), compiler.compile("-Wl,--no-as-needed", "-lm"))
    find(difference.details, "library added: libm.so.6")
    assert compare(compiler.compile(), compiler.compile("-static")).summary.count("loader") == 1


@pytest.mark.parametrize(
    ("flags", "kind"),
    [(["-c"], "ELF object"), (["-shared", "-fPIC"], "ELF library"), (["-static"], "ELF program"), ([], "ELF program")],
)
def test_programs_libraries_and_objects_have_their_names(flags, kind, compiler):
    difference = compare(compiler.compile(*flags, answer=1), compiler.compile(*flags, answer=2))
    assert difference.type == kind
    assert ".text" in difference.summary


def test_objects_with_many_sections_of_one_name_are_paired_in_order(compiler):
    source = compiler.directory / "many.cc"
    flags = ("-c", "-ffunction-sections", "-fno-unique-section-names")
    objects = []
    for last in (1, 2):
        source.write_text(
            "".join(f"int f{number}() {{ return {number}; }}\n" for number in range(30)) + f"int g() {{ return {last}; }}\n"
        )
        objects.append(compiler.directory / f"many{last}.o")
        subprocess.run([require.tool("gcc"), *flags[:2], "-x", "c", str(source), "-o", str(objects[-1])], check=True)
    difference = compare(*objects)
    assert difference.summary == "1 section differs: .text.g"


def test_bytes_after_the_sections_are_found(compiler):
    program = compiler.compile().read_bytes()
    difference = compare(program + b"payload one", program + b"payload two")
    assert difference.summary == "bytes after the last section differ"
    assert "after the last section: 3 bytes differ at byte 8" in difference.details


def test_a_program_without_section_headers_is_compared_by_bytes(compiler):
    data = bytearray(compiler.compile().read_bytes())
    data[40:48] = bytes(8)  # e_shoff
    data[60:64] = bytes(4)  # e_shnum, e_shstrndx
    other = bytearray(data)
    other[0x1000] ^= 1
    difference = compare(bytes(data), bytes(other))
    assert difference.type == "ELF program"
    assert difference.summary == "what was compared is equal; 1 byte differs at byte 4,096"


def test_headers_are_compared(compiler):
    program = compiler.compile()
    data = bytearray(program.read_bytes())
    data[48:52] = (5).to_bytes(4, "little")  # e_flags
    assert compare(program, bytes(data)).summary == "header fields: flags 0 -> 5"


def test_another_kind_of_program_is_named(compiler):
    difference = compare(compiler.compile(), b"#!/bin/sh\nexit 0\n")
    assert difference.type == "ELF file -> text"
    assert "another kind of file" in difference.summary
