"""Reads ELF headers: the machine that a program is for, its loader and the libraries that it needs.

elf(5); System V ABI, "Object Files" and "Program Loading and Dynamic Linking". The bytes are
untrusted: every offset is checked against the file, and every table against a limit.
"""

from __future__ import annotations

import io
import struct
from collections import namedtuple

from rules_setcap.diagnostics import limits
from rules_setcap.executables import formats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

Program = namedtuple("Program", ("machine", "bits", "little", "interpreter", "needed", "rpath", "runpath"))
"""A program. machine: int, e_machine; bits: 32 or 64; little: bool, byte order; interpreter: str, PT_INTERP, "" of a
static program; needed: tuple of str, DT_NEEDED; rpath, runpath: str, DT_RPATH and DT_RUNPATH, "" if absent."""

_INTERP, _DYNAMIC, _LOAD = 3, 2, 1
_DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_STRSZ, _DT_RUNPATH = 1, 5, 15, 10, 29


class ElfError(ValueError):
    """An invalid ELF file; the message is a sentence."""


class NoElf(ElfError):
    """A file that does not start with the ELF magic number."""


def read(file: BinaryIO) -> Program:
    """Reads the program in a seekable file.

    Raises:
      ElfError: it is not an ELF program, or an invalid one.
    """
    machine, wide, order, segments = _headers(file)
    interpreter = _interpreter(file, segments)
    dynamic = next(((start, length) for kind, start, _, length in segments if kind == _DYNAMIC), None)
    needed, rpath, runpath = _dynamic(file, segments, *dynamic, wide, order) if dynamic else ((), "", "")
    return Program(machine, 64 if wide else 32, order == "<", interpreter, needed, rpath, runpath)


def describe(file: BinaryIO) -> dict[str, Any] | None:
    """Returns the program in a seekable file as a JSON object; None if it is not a program that is known.

    The keys are those of Program, or `error` (str) for an invalid ELF file, or `system` (str, as executables.system()
    returns it) for a program of another operating system.
    """
    try:
        return read(file)._asdict()
    except NoElf:
        file.seek(0)
        name = formats.system(file.read(formats.START))
        return {"system": name} if name else None
    except ElfError as error:
        return {"error": str(error)}


def interpreter(start: bytes) -> str:
    """Reads PT_INTERP from the first bytes of a program; "" of a static program.

    Raises:
      ElfError: it is not an ELF program, an invalid one, or its headers are not within these bytes.
    """
    file = io.BytesIO(start)
    return _interpreter(file, _headers(file)[3])


def _headers(file: BinaryIO) -> tuple[int, bool, str, list[tuple[int, int, int, int]]]:
    """Reads e_machine, whether the file is of 64 bits, its byte order as of struct, and its segments."""
    file.seek(0)
    if file.read(4) != b"\x7fELF":
        raise NoElf("not an ELF program")
    head = _at(file, 0, 52)
    if head[4] not in (1, 2) or head[5] not in (1, 2):
        raise ElfError("invalid ELF class or byte order")
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    machine = struct.unpack_from(order + "H", head, 18)[0]
    if wide:
        head = _at(file, 0, 64)
        (offset,) = struct.unpack_from(order + "Q", head, 32)
        size, count = struct.unpack_from(order + "HH", head, 54)
    else:
        (offset,) = struct.unpack_from(order + "I", head, 28)
        size, count = struct.unpack_from(order + "HH", head, 42)
    if count > limits.ELF_HEADERS or count and size != (56 if wide else 32):
        raise ElfError(f"invalid ELF program header table, of {count} headers of {size} bytes (limit ELF_HEADERS: {limits.ELF_HEADERS})")
    table = _at(file, offset, size * count)
    return machine, wide, order, [_segment(table, at * size, wide, order) for at in range(count)]


def _interpreter(file: BinaryIO, segments: list[tuple[int, int, int, int]]) -> str:
    """Reads PT_INTERP; "" if there is no such segment."""
    for kind, start, _, length in segments:
        if kind == _INTERP:
            return _text(_at(file, start, min(length, limits.ELF_NAME)), 0, limits.ELF_NAME)
    return ""


def _segment(table: bytes, at: int, wide: bool, order: str) -> tuple[int, int, int, int]:
    """Reads a program header: type, offset in the file, address, size in the file."""
    if wide:
        kind, _, start, address, _, length = struct.unpack_from(order + "IIQQQQ", table, at)
    else:
        kind, start, address, _, length = struct.unpack_from(order + "IIIII", table, at)
    return kind, start, address, length


def _dynamic(
    file: BinaryIO, segments: list[tuple[int, int, int, int]], start: int, length: int, wide: bool, order: str
) -> tuple[tuple[str, ...], str, str]:
    """Reads DT_NEEDED, DT_RPATH and DT_RUNPATH."""
    if length > limits.ELF_DYNAMIC:
        raise ElfError(f"the dynamic section has {length} bytes (limit ELF_DYNAMIC: {limits.ELF_DYNAMIC})")
    entry = struct.Struct(order + ("qQ" if wide else "iI"))
    data = _at(file, start, length)
    tags: dict[int, list[int]] = {}
    for tag, value in entry.iter_unpack(data[: len(data) - len(data) % entry.size]):
        if tag == 0:
            break
        tags.setdefault(tag, []).append(value)
    if not any(tag in tags for tag in (_DT_NEEDED, _DT_RPATH, _DT_RUNPATH)):
        return (), "", ""
    if len(tags.get(_DT_NEEDED, ())) > limits.ELF_LIBRARIES:
        raise ElfError(f"too many DT_NEEDED entries (limit ELF_LIBRARIES: {limits.ELF_LIBRARIES})")
    address, size = tags.get(_DT_STRTAB, [0])[0], tags.get(_DT_STRSZ, [0])[0]
    loaded = ((start, begin, span) for kind, start, begin, span in segments if kind == _LOAD)
    place = next((start + address - begin for start, begin, span in loaded if begin <= address < begin + span), None)
    if place is None or size > limits.ELF_STRINGS:
        raise ElfError(f"the string table of the dynamic section is outside the file, or too large (limit ELF_STRINGS: {limits.ELF_STRINGS} bytes)")
    strings = _at(file, place, size)
    needed = tuple(_text(strings, value, limits.ELF_NAME) for value in tags.get(_DT_NEEDED, ()))
    if sum(map(len, needed)) > limits.ELF_TEXT:  # They may overlap in the file, so that a small one has many.
        raise ElfError(f"the names of its libraries are too long together (limit ELF_TEXT: {limits.ELF_TEXT} bytes)")
    rpath, runpath = (_text(strings, tags[tag][0], limits.ELF_RUNPATH) if tag in tags else "" for tag in (_DT_RPATH, _DT_RUNPATH))
    return needed, rpath, runpath


def _text(data: bytes, at: int, most: int) -> str:
    """Returns the text at an offset, up to a NUL or the end of the data."""
    if at > len(data):
        raise ElfError("a string offset outside the string table")
    end = data.find(b"\0", at, at + most)
    if end < 0 and at + most < len(data):
        raise ElfError(f"a string is too long (limit: {most} bytes)")
    return data[at : end if end >= 0 else len(data)].decode("utf-8", "backslashreplace")


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Reads `size` bytes at an offset."""
    if offset >= 1 << 63:
        raise ElfError("an offset beyond the end of the file")
    file.seek(offset)
    data = file.read(size)
    if len(data) < size:
        raise ElfError("the file is truncated")
    return data
