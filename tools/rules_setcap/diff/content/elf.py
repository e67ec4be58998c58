"""Compares ELF files by their sections."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, BinaryIO

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import escape
from rules_setcap.diff.content.data import compare_streams, describe_ranges
from rules_setcap.diff.content.elf_sections import ElfFile, Section, find_build_id, read_elf
from rules_setcap.diff.content.files import CHUNK, open_window
from rules_setcap.diff.content.findings import ContentError, Context, Findings, count, cut
from rules_setcap.diff.content.guesses import find_text_causes
from rules_setcap.executables.elf import ElfError, read_program

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUILD_ID = b".note.gnu.build-id"
# Their bytes follow from other sections: the build-id from all, the CRC of the file with the debug information from that.
_DERIVED = {_BUILD_ID, b".gnu_debuglink", b".note.go.buildid"}
_SYMBOLS = {b".symtab", b".strtab"}
_CODE = re.compile(rb"\.(?:text|init|fini|plt)(?:\.|$)")
_DEBUG = re.compile(rb"\.z?debug_|\.gdb_index$|\.stab")
# Their bytes may look like text by chance.
_WITHOUT_STRINGS = (b".symtab", b".dynsym", b".eh_frame", b".rela.dyn", b".rela.plt", b".hash", b".gnu.hash")
_STRING = re.compile(rb"[ -~]{4,4096}")
_SHOWN = 3  # Strings of each file that only it has.
_SECTIONS_SHOWN = 12
_FIELDS = {"machine", "type", "flags", "entry", "version", "OS ABI", "ABI version"}


def compare_elf(_name: str, before: BinaryIO, after: BinaryIO, _context: Context) -> Findings:
    """Compares two ELF files.

    Raises:
      ContentError: one of them is invalid.
      ElfError: one of them is truncated.
    """
    old, new = read_elf(before), read_elf(after)
    findings = Findings(old.type if old.type == new.type else f"{old.type} -> {new.type}")
    _compare_headers(findings, (old, new), (before, after))
    pairs, removed, added = _pair_sections(old, new)
    if removed or added:  # The names of the sections follow from that.
        pairs = [pair for pair in pairs if pair[0].name != b".shstrtab"]
    different = _find_different(pairs, before, after, old.size + new.size)
    causes = _compare_sections(findings, different, (before, after), (old, new))
    for word, sections in (("removed", removed), ("added", added)):
        if sections:
            findings.add(f"{count(len(sections), 'section')} {word}: {_list_names(sections)}")
    findings.add_causes(_find_stripped(removed, added))
    findings.add_causes(causes)
    if not findings.summaries:
        _compare_rest(findings, (old, new), (before, after))
    return findings


def _compare_headers(findings: Findings, headers: tuple[ElfFile, ElfFile], files: tuple[BinaryIO, BinaryIO]) -> None:
    """Compares the ELF headers, and what the dynamic linker reads."""
    old, new = headers
    changed = [name for name in old.fields if old.fields[name] != new.fields[name]]
    shown = [name for name in changed if name != "entry"]
    if shown:
        findings.add("header fields: " + ", ".join(f"{name} {old.fields[name]} -> {new.fields[name]}" for name in shown))
    if "entry" in changed:
        findings.add_details([f"entry point: {old.fields['entry']:#x} -> {new.fields['entry']:#x}"])
    try:
        programs = [read_program(file) for file in files]
    except ElfError:
        return
    for attribute, name in (("interpreter", "loader"), ("rpath", "RPATH"), ("runpath", "RUNPATH")):
        texts = [str(getattr(program, attribute)) for program in programs]
        if texts[0] != texts[1]:
            findings.add(name, f"{name}: {escape(texts[0]) or 'none'} -> {escape(texts[1]) or 'none'}")
    if programs[0].needed != programs[1].needed:
        findings.add("needed libraries", *_list_changes("library", list(programs[0].needed), list(programs[1].needed)))


def _list_changes(noun: str, before: list[str], after: list[str]) -> Iterator[str]:
    """Yields the names that only one list has, or that the order differs."""
    removed, added = [name for name in before if name not in after], [name for name in after if name not in before]
    yield from (f"{noun} removed: {escape(name)}" for name in removed)
    yield from (f"{noun} added: {escape(name)}" for name in added)
    if not removed and not added:
        yield f"{noun} order: {' '.join(map(escape, before))} -> {' '.join(map(escape, after))}"


def _pair_sections(old: ElfFile, new: ElfFile) -> tuple[list[tuple[Section, Section]], list[Section], list[Section]]:
    """Pairs the sections of two files by name: the first of a name with the first, and so on.

    Returns:
      The pairs, the sections of the old file that have none, and those of the new file.
    """
    by_name: dict[bytes, list[Section]] = {}
    for section in reversed(new.sections):
        by_name.setdefault(section.name, []).append(section)
    pairs, removed = [], []
    for section in old.sections:
        others = by_name.get(section.name)
        if others:
            pairs.append((section, others.pop()))
        else:
            removed.append(section)
    paired = {id(pair[1]) for pair in pairs}
    return pairs, removed, [section for section in new.sections if id(section) not in paired]


def _find_different(
    pairs: list[tuple[Section, Section]], before: BinaryIO, after: BinaryIO, size: int
) -> list[tuple[Section, Section, str]]:
    """Returns the sections that differ, and how.

    Raises:
      ContentError: the sections overlap so much that comparing them takes too long.
    """
    different, total = [], 0
    for old, new in pairs:
        total += old.size + new.size
        if total > 2 * size:
            raise ContentError("its sections overlap")
        ranges = compare_streams(open_window(before, old.offset, old.size), open_window(after, new.offset, new.size))
        if old.memory != new.memory:
            different.append((old, new, f"{old.memory:,} -> {count(new.memory, 'byte')}"))
        elif not ranges.equal:
            different.append((old, new, f"{describe_ranges(ranges)} of {new.size:,}"))
    return different


def _compare_sections(
    findings: Findings,
    different: list[tuple[Section, Section, str]],
    files: tuple[BinaryIO, BinaryIO],
    headers: tuple[ElfFile, ElfFile],
) -> list[str]:
    """Adds the sections that differ, and returns the causes."""
    names = {old.name for old, _, _ in different}
    causes: list[str] = []
    others = [old for old, _, _ in different if old.name not in _DERIVED]
    if others:
        also = ", and so the build-id" if _BUILD_ID in names else ""
        findings.add(
            f"{count(len(others), 'section')} {'differs' if len(others) == 1 else 'differ'}: {_list_names(others)}{also}"
        )
    elif _BUILD_ID in names:
        findings.add("the build-id differs")
    elif names:
        findings.add(f"{_list_names([old for old, _, _ in different])} differs")
    if names & _SYMBOLS and not any(map(_CODE.match, names)) and names <= _SYMBOLS | _DERIVED:
        causes.append("symbol table: only the symbols differ, not the code")
    if any(map(_DEBUG.match, names)) and all(_DEBUG.match(name) or name in _SYMBOLS | _DERIVED for name in names):
        causes.append("debug information: the code is equal")
    for old, new, how in different[:_SECTIONS_SHOWN]:
        name = _format_name(old)
        if old.name == _BUILD_ID:
            ids = [
                find_build_id(_read(file, section, CHUNK), header.order)
                for file, section, header in zip(files, (old, new), headers, strict=True)
            ]
            findings.add_details([f"{name}: {ids[0].hex() or 'none'} -> {ids[1].hex() or 'none'}"])
            causes.extend(_explain_build_id(ids, names))
            continue
        lines, explained = _compare_strings(files, old, new)
        findings.add_details([f"{name}: {how}", *lines])
        # Sections often share a string: the first that has it is enough.
        causes += [f"{cause}, in {name}" for cause in explained if not any(other.startswith(f"{cause}, in ") for other in causes)]
    if len(different) > _SECTIONS_SHOWN:
        findings.add_details([f"... and {count(len(different) - _SECTIONS_SHOWN, 'more section')}"])
    return causes


def _explain_build_id(ids: list[bytes], names: set[bytes]) -> Iterator[str]:
    """Yields the cause of two build-ids."""
    if not names <= _DERIVED:
        return  # It follows from the other sections.
    if all(len(value) == 16 for value in ids):
        yield "build-id: everything else is equal; it is random if the linker's flag is --build-id=uuid"
    elif all(ids):
        yield "build-id: everything else is equal; the linker computed it over what is not in the file any more, such as debug information"
    else:
        yield "build-id: only one of the files has one"


def _compare_strings(files: tuple[BinaryIO, BinaryIO], old: Section, new: Section) -> tuple[list[str], list[str]]:
    """Compares the strings of two sections.

    Returns:
      Lines with strings that only one of them has, and causes.
    """
    if _CODE.match(old.name) or old.name in _WITHOUT_STRINGS or not old.size or not new.size:
        return [], []
    texts = [_find_strings(file, section) for file, section in zip(files, (old, new), strict=True)]
    removed = [text.decode("ascii") for text in texts[0] if text not in texts[1]]
    added = [text.decode("ascii") for text in texts[1] if text not in texts[0]]
    lines = []
    for sign, strings in (("-", removed), ("+", added)):
        lines += [f"  {sign} {cut(text, 160)}" for text in strings[:_SHOWN]]
        if len(strings) > _SHOWN:
            lines.append(f"  {sign} ... and {count(len(strings) - _SHOWN, 'more string')}")
    pairs = zip(removed[:_SHOWN], added[:_SHOWN], strict=False)
    return lines, [cause for pair in pairs for cause in find_text_causes(*pair)]


def _find_strings(file: BinaryIO, section: Section) -> dict[bytes, None]:
    """Returns the strings of a section in their order, as far as the limits allow."""
    strings: dict[bytes, None] = {}
    for match in _STRING.finditer(_read(file, section, limits.CONTENT_STRINGS)):
        strings[match[0]] = None
        if len(strings) >= limits.CONTENT_STRING_COUNT:
            break
    return strings


def _find_stripped(removed: list[Section], added: list[Section]) -> Iterator[str]:
    """Yields a cause if only one file has symbols or debug information."""
    for which, sections in (("second", removed), ("first", added)):
        names = [section.name for section in sections]
        if b".symtab" in names:
            yield f"stripped: the {which} file has no symbol table"
        if any(map(_DEBUG.match, names)):
            yield f"debug information: the {which} file has none"
        if _BUILD_ID in names:
            yield f"build-id: the {which} file has none"


def _compare_rest(findings: Findings, headers: tuple[ElfFile, ElfFile], files: tuple[BinaryIO, BinaryIO]) -> None:
    """Adds the difference of files whose sections are equal: their headers, the order of sections, or bytes between them."""
    old, new = headers
    starts = [_read_range(file, 0, header.headers_end) for file, header in zip(files, headers, strict=True)]
    if [section.name for section in old.sections] != [section.name for section in new.sections]:
        findings.add("the order of sections differs")
    if old.sections and [(item.flags, item.address) for item in old.sections] != [
        (item.flags, item.address) for item in new.sections
    ]:
        findings.add("the addresses or flags of sections differ")
    if starts[0] != starts[1]:
        findings.add("the program headers differ")
    ends = [max([header.table[1], *(section.offset + section.size for section in header.sections)]) for header in headers]
    if old.sections and new.sections and (old.size > ends[0] or new.size > ends[1]):
        windows = [open_window(file, end, header.size - end) for file, end, header in zip(files, ends, headers, strict=True)]
        ranges = compare_streams(*windows)
        if not ranges.equal:
            findings.add("bytes after the last section differ", f"after the last section: {describe_ranges(ranges)}")


def _read(file: BinaryIO, section: Section, most: int) -> bytes:
    return _read_range(file, section.offset, min(section.size, most))


def _read_range(file: BinaryIO, start: int, size: int) -> bytes:
    return open_window(file, start, min(size, limits.CONTENT_STRINGS)).read(-1)


def _list_names(sections: list[Section]) -> str:
    """Returns the names of sections, at most eight."""
    names = list(dict.fromkeys(map(_format_name, sections)))
    return ", ".join(names[:8]) + (f" and {len(names) - 8:,} more" if len(names) > 8 else "")


def _format_name(section: Section) -> str:
    return cut(escape(os.fsdecode(section.name)), 60) or "(no name)"
