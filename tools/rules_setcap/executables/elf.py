"""Reads ELF headers: the machine that a program is for, its loader and the libraries that it needs.

The format is described in elf(5) and in the System V ABI, "Object Files" and "Program Loading and Dynamic Linking". The bytes
are untrusted: every offset is checked against the file, and every table against a limit.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.diagnostics import limits
from rules_setcap.executables import formats

if TYPE_CHECKING:
    from typing import Any, BinaryIO

_INTERP, _DYNAMIC, _LOAD = 3, 2, 1
_DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_STRSZ, _DT_RUNPATH = 1, 5, 15, 10, 29


class ElfError(ValueError):
    """An invalid ELF file; the message is a sentence."""


class NotElfError(ElfError):
    """A file that does not start with the ELF magic number."""


class Program(NamedTuple):
    """A program, as its ELF headers describe it.

    Attributes:
      machine: e_machine.
      bits: 32 or 64.
      little: whether the byte order is little-endian.
      interpreter: PT_INTERP; "" for a static program.
      needed: DT_NEEDED, the names of libraries.
      rpath, runpath: DT_RPATH and DT_RUNPATH; "" if absent.
    """

    machine: int
    bits: int
    little: bool
    interpreter: str
    needed: tuple[str, ...]
    rpath: str
    runpath: str


class _Segment(NamedTuple):
    """A program header: type, offset in the file, address in memory, size in the file."""

    kind: int
    offset: int
    address: int
    size: int


class _Headers(NamedTuple):
    """The headers of a file. `order` is the byte order in the notation of struct."""

    machine: int
    wide: bool
    order: str
    segments: list[_Segment]


def read_program(file: BinaryIO) -> Program:
    """Reads the program in a seekable file.

    Raises:
      ElfError: the file is not an ELF program, or an invalid one.
    """
    headers = _read_headers(file)
    interpreter = _read_interpreter(file, headers.segments)
    dynamic = next((segment for segment in headers.segments if segment.kind == _DYNAMIC), None)
    needed, rpath, runpath = _read_dynamic(file, headers, dynamic) if dynamic else ((), "", "")
    return Program(headers.machine, 64 if headers.wide else 32, headers.order == "<", interpreter, needed, rpath, runpath)


def describe_program(file: BinaryIO) -> dict[str, Any] | None:
    """Returns the program in a seekable file as a JSON object; None if its format is unknown.

    The keys are those of Program; or `error` (str) for an invalid ELF file; or `system` (str, as formats.find_system() returns
    it) for a program of another operating system.
    """
    try:
        return read_program(file)._asdict()
    except NotElfError:
        file.seek(0)
        system = formats.find_system(file.read(formats.START))
        return {"system": system} if system else None
    except ElfError as error:
        return {"error": str(error)}


def find_interpreter(start: bytes) -> str:
    """Returns PT_INTERP of a program, from its first bytes; "" for a static program.

    Args:
      start: the first bytes of the file.

    Raises:
      ElfError: the file is not an ELF program, or an invalid one, or its headers are not within these bytes.
    """
    file = io.BytesIO(start)
    return _read_interpreter(file, _read_headers(file).segments)


def _read_headers(file: BinaryIO) -> _Headers:
    """Reads the ELF header and the program headers."""
    file.seek(0)
    if file.read(4) != b"\x7fELF":
        raise NotElfError("not an ELF program")
    head = read_at(file, 0, 52)
    if head[4] not in (1, 2) or head[5] not in (1, 2):
        raise ElfError("invalid ELF class or byte order")
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    machine = struct.unpack_from(order + "H", head, 18)[0]
    if wide:
        head = read_at(file, 0, 64)
        (offset,) = struct.unpack_from(order + "Q", head, 32)
        size, count = struct.unpack_from(order + "HH", head, 54)
    else:
        (offset,) = struct.unpack_from(order + "I", head, 28)
        size, count = struct.unpack_from(order + "HH", head, 42)
    if count > limits.ELF_HEADERS or (count and size != (56 if wide else 32)):
        raise ElfError(
            f"invalid ELF program header table, of {count} headers of {size} bytes (limit ELF_HEADERS: {limits.ELF_HEADERS})"
        )
    table = read_at(file, offset, size * count)
    return _Headers(machine, wide, order, [_parse_segment(table, at * size, wide, order) for at in range(count)])


def _read_interpreter(file: BinaryIO, segments: list[_Segment]) -> str:
    """Returns PT_INTERP; "" if there is no such segment."""
    for segment in segments:
        if segment.kind == _INTERP:
            return _find_text(read_at(file, segment.offset, min(segment.size, limits.ELF_NAME)), 0, limits.ELF_NAME)
    return ""


def _parse_segment(table: bytes, at: int, wide: bool, order: str) -> _Segment:
    """Parses the program header at an offset of the program header table."""
    if wide:
        kind, _, offset, address, _, size = struct.unpack_from(order + "IIQQQQ", table, at)
    else:
        kind, offset, address, _, size = struct.unpack_from(order + "IIIII", table, at)
    return _Segment(kind, offset, address, size)


def _read_dynamic(file: BinaryIO, headers: _Headers, dynamic: _Segment) -> tuple[tuple[str, ...], str, str]:
    """Returns DT_NEEDED, DT_RPATH and DT_RUNPATH of the dynamic section."""
    if dynamic.size > limits.ELF_DYNAMIC:
        raise ElfError(f"the dynamic section has {dynamic.size} bytes (limit ELF_DYNAMIC: {limits.ELF_DYNAMIC})")
    entry = struct.Struct(headers.order + ("qQ" if headers.wide else "iI"))
    data = read_at(file, dynamic.offset, dynamic.size)
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
    loaded = [segment for segment in headers.segments if segment.kind == _LOAD and 0 <= address - segment.address < segment.size]
    offset = loaded[0].offset + address - loaded[0].address if loaded else None
    if offset is None or size > limits.ELF_STRINGS:
        raise ElfError(
            f"the string table of the dynamic section is outside the file, or too large (limit ELF_STRINGS: {limits.ELF_STRINGS} bytes)"
        )
    strings = read_at(file, offset, size)
    needed = tuple(_find_text(strings, value, limits.ELF_NAME) for value in tags.get(_DT_NEEDED, ()))
    if sum(map(len, needed)) > limits.ELF_TEXT:  # Names may overlap in a small string table.
        raise ElfError(f"the names of its libraries are too long together (limit ELF_TEXT: {limits.ELF_TEXT} bytes)")
    rpath, runpath = (
        _find_text(strings, tags[tag][0], limits.ELF_RUNPATH) if tag in tags else "" for tag in (_DT_RPATH, _DT_RUNPATH)
    )
    return needed, rpath, runpath


def _find_text(data: bytes, at: int, most: int) -> str:
    """Returns the text at an offset of the data, up to a NUL or the end of the data.

    Raises:
      ElfError: the offset is outside the data, or the text is longer than `most` bytes.
    """
    if at > len(data):
        raise ElfError("a string offset outside the string table")
    end = data.find(b"\0", at, at + most)
    if end < 0 and at + most < len(data):
        raise ElfError(f"a string is too long (limit: {most} bytes)")
    return data[at : end if end >= 0 else len(data)].decode("utf-8", "backslashreplace")


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Reads `size` bytes at an offset.

    Raises:
      ElfError: the file ends before that.
    """
    if offset >= 1 << 63:
        raise ElfError("an offset beyond the end of the file")
    file.seek(offset)
    data = file.read(size)
    if len(data) < size:
        raise ElfError("the file is truncated")
    return data
