"""Reads the sections of an ELF file.

The format is described in elf(5). The bytes are untrusted: every offset is checked against the file, and every table against a
limit.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from rules_setcap.diagnostics import limits
from rules_setcap.diff.content.files import find_size
from rules_setcap.diff.content.findings import ContentError
from rules_setcap.executables.elf import read_at

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOBITS = 8
_NAME = 256  # Bytes of a section's name.
_HEADERS = {  # The fields of the ELF header and of a section header.
    True: (struct.Struct("HHIQQQIHHHHHH"), struct.Struct("IIQQQQIIQQ")),
    False: (struct.Struct("HHIIIIIHHHHHH"), struct.Struct("IIIIIIIIII")),
}
_TYPES = {1: "ELF object", 2: "ELF program", 3: "ELF library", 4: "ELF core dump"}
_INTERP = 3


@dataclass(frozen=True, slots=True)
class Section:
    """A section.

    Attributes:
      name: its name.
      kind: sh_type.
      flags: sh_flags.
      address: sh_addr.
      offset: where its bytes start in the file.
      size: the number of its bytes in the file; 0 for .bss.
      memory: the number of its bytes in memory.
    """

    name: bytes
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    memory: int


@dataclass(frozen=True, slots=True)
class ElfFile:
    """The headers of an ELF file.

    Attributes:
      type: what the file is, in words.
      wide: whether it is a 64-bit file.
      order: the byte order in the notation of struct.
      fields: the fields of its header by name, without offsets in the file.
      sections: its sections, without the first, which is empty.
      headers_end: where the ELF header and the program headers end.
      table: where the section headers start and end.
      size: the size of the file in bytes.
    """

    type: str
    wide: bool
    order: str
    fields: dict[str, int]
    sections: tuple[Section, ...]
    headers_end: int
    table: tuple[int, int]
    size: int


def read_elf(file: BinaryIO) -> ElfFile:
    """Reads the headers of a seekable file.

    Raises:
      ContentError: the file is not an ELF file, or an invalid one.
      ElfError: the file is truncated.
    """
    size = find_size(file)
    ident = read_at(file, 0, 16)
    if ident[:4] != b"\x7fELF" or ident[4] not in (1, 2) or ident[5] not in (1, 2):
        raise ContentError("an invalid ELF header")
    wide, order = ident[4] == 2, "<" if ident[5] == 1 else ">"
    header, section = (struct.Struct(order + fields.format) for fields in _HEADERS[wide])
    values = header.unpack(read_at(file, 16, header.size))
    kind, machine, version, entry, programs, table, flags, _, program_size, program_count, section_size, count, names = values
    if table and section_size != section.size:
        raise ContentError(f"section headers of {section_size} bytes")
    if table and not count:  # The first section header has the number if it is 0xff00 or more.
        count = section.unpack(read_at(file, table, section.size))[5]
    if names == 0xFFFF and table:
        names = section.unpack(read_at(file, table, section.size))[6]
    if count > limits.CONTENT_SECTIONS:
        raise ContentError(f"{count} sections (limit CONTENT_SECTIONS: {limits.CONTENT_SECTIONS})")
    headers = list(section.iter_unpack(read_at(file, table, count * section.size))) if table else []
    programs_end = programs + program_size * program_count
    is_program = kind == 3 and any(
        int.from_bytes(read_at(file, programs + at * program_size, 4), "little" if order == "<" else "big") == _INTERP
        for at in range(min(program_count, limits.ELF_HEADERS))
    )
    fields = {"class": 64 if wide else 32, "type": kind, "machine": machine, "version": version, "entry": entry, "flags": flags}
    fields.update({"OS ABI": ident[7], "ABI version": ident[8], "program headers": program_count})
    return ElfFile(
        "ELF program" if is_program else _TYPES.get(kind, "ELF file"),
        wide,
        order,
        fields,
        tuple(_make_sections(file, headers, names, size)),
        min(max(16 + header.size, programs_end), size),
        (table, table + count * section.size),
        size,
    )


def _make_sections(file: BinaryIO, headers: list[tuple[int, ...]], names: int, size: int) -> Iterator[Section]:
    """Yields the sections of section headers.

    Args:
      file: the file.
      headers: the section headers.
      names: the number of the section with the names.
      size: the size of the file in bytes.
    """
    texts = b""
    if 0 < names < len(headers) and headers[names][5] <= limits.CONTENT_SECTION_NAMES:
        texts = read_at(file, headers[names][4], headers[names][5])
    for name, kind, flags, address, offset, length, *_ in headers[1:]:
        end = texts.find(b"\0", name, name + _NAME)
        in_file = 0 if kind == _NOBITS else length
        if offset + in_file > size and in_file:
            raise ContentError("a section ends beyond the end of the file")
        yield Section(texts[name : end if end >= 0 else name + _NAME], kind, flags, address, offset, in_file, length)


def find_build_id(data: bytes, order: str) -> bytes:
    """Returns the build-id in a note section; an empty value if there is none.

    Args:
      data: the bytes of the section .note.gnu.build-id.
      order: the byte order in the notation of struct.
    """
    at = 0
    while at + 12 <= len(data):
        name_size, size, kind = struct.unpack_from(order + "III", data, at)
        start = at + 12 + name_size + -name_size % 4
        if kind == 3 and data[at + 12 : at + 16] == b"GNU\0" and start + size <= len(data):
            return data[start : start + size]
        at = start + size + -size % 4
    return b""
