"""Compares ar archives, and with them static libraries and Debian packages, by their members.

The format is described in ar(5): GNU's names in a table, those of BSD in the content, and thin archives without contents.
"""

from __future__ import annotations

import os
import re
from typing import Any, BinaryIO

from rules_setcap.diagnostics import limits
from rules_setcap.diff.content.data import are_equal
from rules_setcap.diff.content.files import find_size, open_window
from rules_setcap.diff.content.findings import ContentError, Context, Findings
from rules_setcap.diff.content.guesses import format_time
from rules_setcap.diff.content.members import Archive, Member, compare_members

MAGIC = b"!<arch>\n"
THIN = b"!<thin>\n"
_HEADER = 60
_NAMES = b"//"
_SYMBOLS = (b"/", b"/SYM64/", b"__.SYMDEF", b"__.SYMDEF SORTED", b"__.SYMDEF_64")


class _ArArchive(Archive):
    """An ar archive."""

    field_names = ("time", "uid", "gid", "mode")

    def __init__(self, file: BinaryIO) -> None:
        """Reads the headers of the members.

        Raises:
          ContentError: a header is not valid, or there are too many.
        """
        self._file, self._size = file, find_size(file)
        self.members: list[Member] = []
        file.seek(0)
        thin = file.read(len(MAGIC)) == THIN
        at, names = len(MAGIC), b""
        while at < self._size:
            if len(self.members) >= limits.CONTENT_MEMBERS:
                raise ContentError(f"more than {limits.CONTENT_MEMBERS} members (limit CONTENT_MEMBERS)")
            header = self._read(at, _HEADER)
            if len(header) < _HEADER or header[58:] != b"`\n":
                raise ContentError(f"an invalid header at byte {at}")
            name, size = header[:16].rstrip(b" "), _parse(header[48:58], 10)
            start, at = at + _HEADER, at + _HEADER
            if name == _NAMES:
                names = self._read(start, min(size, limits.CONTENT_TABLE))
            elif name.startswith(b"#1/"):
                length = min(_parse(name[3:], 10), size, limits.PATH)
                name = self._read(start, length).rstrip(b"\0")
                start, size, at = start + length, size - length, at + length
            elif re.fullmatch(rb"/\d+", name):
                offset = int(name[1:])
                name = names[offset : offset + limits.PATH].partition(b"\n")[0]
            is_table = name in _SYMBOLS or name == _NAMES
            if not thin or is_table:
                at += size + size % 2
                if start + size > self._size:
                    raise ContentError(f"the member at byte {start} ends beyond the end of the file")
            else:
                size = 0
            label = "(names)" if name == _NAMES else "(symbols)" if is_table else _decode(name)
            fields = (_parse(header[16:28], 10), _parse(header[28:34], 10), _parse(header[34:40], 10), _parse(header[40:48], 8))
            self.members.append(Member(label, fields, size, start))

    def format_field(self, name: str, value: Any) -> str:
        """Returns the value of a field as text."""
        if name == "time":
            return f"{value} ({format_time(value)})" if value else "0"
        return f"{value:o}" if name == "mode" else str(value)

    def open_member(self, member: Member) -> BinaryIO:
        """Returns the content of a member."""
        return open_window(self._file, member.place, member.size)

    def _read(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)


def compare_ar(_name: str, before: BinaryIO, after: BinaryIO, context: Context) -> Findings:
    """Compares two ar archives.

    Raises:
      ContentError: one of them is invalid, or too large.
    """
    archives = _ArArchive(before), _ArArchive(after)
    is_package = any(archive.members and archive.members[0].name == "debian-binary" for archive in archives)
    findings = Findings("Debian package" if is_package else "ar archive")
    compare_members(findings, *archives, context)
    if any(cause.startswith("timestamp: time of") for cause in findings.causes) and not is_package:
        findings.add_details(["`ar` with the modifier D writes zeros for times and owners"])
    if not findings.summaries:
        before.seek(0)
        after.seek(0)
        if not are_equal(before, after):
            findings.add("only headers' unused bytes differ, such as their padding")
    return findings


def _decode(name: bytes) -> str:
    return os.fsdecode(name.removesuffix(b"/"))


def _parse(digits: bytes, base: int) -> int:
    """Returns the number of a field; 0 if it is empty.

    Raises:
      ContentError: it is not a number.
    """
    digits = digits.strip(b" \0")
    if not re.fullmatch(rb"[0-9]*", digits) or (base == 8 and re.search(rb"[89]", digits)):
        raise ContentError(f"not a number in a header: {os.fsdecode(digits)!r}")
    return int(digits or b"0", base)
