"""What an ELF program says of itself: for which machine it is, and where it looks for its libraries.

elf(5); System V ABI, "Object Files" and "Program Loading and Dynamic Linking". The bytes are
anybody's: no offset is believed beyond the file, and no table beyond a bound.
"""

from __future__ import annotations

import struct
from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

Program = namedtuple("Program", ("machine", "bits", "little", "interpreter", "needed", "rpath", "runpath"))
"""machine: int, e_machine; bits: 32 or 64; little: bool, byte order; interpreter: str, "" of a static program;
needed: tuple of str, DT_NEEDED; rpath, runpath: str, DT_RPATH and DT_RUNPATH, "" for none."""

_INTERP, _DYNAMIC, _LOAD = 3, 2, 1
_DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_STRSZ, _DT_RUNPATH = 1, 5, 15, 10, 29
_MAX_HEADERS = 1 << 12
_MAX_DYNAMIC = 1 << 20
_MAX_STRINGS = 16 << 20
_MAX_NAMES = 1 << 10
_MAX_NAME = 1 << 12  # PATH_MAX, linux/limits.h.
_MAX_PATHS = 1 << 20


class ElfError(ValueError):
    """What is wrong with the file, as a sentence."""


class NoElf(ElfError):
    """It does not even start as a program does."""


def read(file: BinaryIO) -> Program:
    """The program in a file that can seek.

    Raises:
      ElfError: it is none, or a damaged one.
    """
    file.seek(0)
    if file.read(4) != b"\x7fELF":
        raise NoElf("no ELF program")
    head = _at(file, 0, 52)
    if head[4] not in (1, 2) or head[5] not in (1, 2):
        raise ElfError("damaged: neither of 32 nor of 64 bits")
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    machine = struct.unpack_from(order + "H", head, 18)[0]
    if wide:
        head = _at(file, 0, 64)
        (offset,) = struct.unpack_from(order + "Q", head, 32)
        size, count = struct.unpack_from(order + "HH", head, 54)
    else:
        (offset,) = struct.unpack_from(order + "I", head, 28)
        size, count = struct.unpack_from(order + "HH", head, 42)
    if count > _MAX_HEADERS or count and size != (56 if wide else 32):
        raise ElfError("damaged: its program headers are none")
    table = _at(file, offset, size * count)
    segments = [_segment(table, at * size, wide, order) for at in range(count)]
    names = (_at(file, start, min(length, _MAX_NAME)) for kind, start, _, length in segments if kind == _INTERP)
    interpreter = next((_text(name, 0, _MAX_NAME) for name in names), "")
    found = next(((start, length) for kind, start, _, length in segments if kind == _DYNAMIC), None)
    needed, rpath, runpath = _dynamic(file, segments, *found, wide, order) if found else ((), "", "")
    return Program(machine, 64 if wide else 32, order == "<", interpreter, needed, rpath, runpath)


def _segment(table: bytes, at: int, wide: bool, order: str) -> tuple[int, int, int, int]:
    """Type, offset in the file, address, size in the file."""
    if wide:
        kind, _, start, address, _, length = struct.unpack_from(order + "IIQQQQ", table, at)
    else:
        kind, start, address, _, length = struct.unpack_from(order + "IIIII", table, at)
    return kind, start, address, length


def _dynamic(
    file: BinaryIO, segments: list[tuple[int, int, int, int]], start: int, length: int, wide: bool, order: str
) -> tuple[tuple[str, ...], str, str]:
    """DT_NEEDED, DT_RPATH, DT_RUNPATH."""
    if length > _MAX_DYNAMIC:
        raise ElfError("damaged: a dynamic section that is too long")
    entry = struct.Struct(order + ("qQ" if wide else "iI"))
    data = _at(file, start, length)
    tags: dict[int, list[int]] = {}
    for tag, value in entry.iter_unpack(data[: len(data) - len(data) % entry.size]):
        if tag == 0:
            break
        tags.setdefault(tag, []).append(value)
    if not any(tag in tags for tag in (_DT_NEEDED, _DT_RPATH, _DT_RUNPATH)):
        return (), "", ""
    if len(tags.get(_DT_NEEDED, ())) > _MAX_NAMES:
        raise ElfError("damaged: it needs more libraries than there are")
    address, size = tags.get(_DT_STRTAB, [0])[0], tags.get(_DT_STRSZ, [0])[0]
    loaded = ((start, begin, span) for kind, start, begin, span in segments if kind == _LOAD)
    place = next((start + address - begin for start, begin, span in loaded if begin <= address < begin + span), None)
    if place is None or size > _MAX_STRINGS:
        raise ElfError("damaged: its names are nowhere in it")
    strings = _at(file, place, size)
    needed = tuple(_text(strings, value, _MAX_NAME) for value in tags.get(_DT_NEEDED, ()))
    rpath, runpath = (_text(strings, tags[tag][0], _MAX_PATHS) if tag in tags else "" for tag in (_DT_RPATH, _DT_RUNPATH))
    return needed, rpath, runpath


def _text(data: bytes, at: int, most: int) -> str:
    """The text that starts there, and ends with a NUL or with the data."""
    if at > len(data):
        raise ElfError("damaged: a name beyond its names")
    end = data.find(b"\0", at, at + most)
    if end < 0 and at + most < len(data):
        raise ElfError("damaged: a name that does not end")
    return data[at : end if end >= 0 else len(data)].decode("utf-8", "backslashreplace")


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    if offset >= 1 << 63:
        raise ElfError("damaged: an offset beyond its end")
    file.seek(offset)
    data = file.read(size)
    if len(data) < size:
        raise ElfError("damaged: it ends too soon")
    return data
