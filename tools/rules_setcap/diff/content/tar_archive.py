"""Compares tars within files by their entries."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

from rules_setcap.archive import headers
from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.reader import Member as Entry
from rules_setcap.archive.reader import TarError, TarReader
from rules_setcap.archive.records import CAPABILITY_RECORD, XATTR
from rules_setcap.capabilities.errors import CapabilityError
from rules_setcap.capabilities.file_capabilities import from_xattr
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import escape
from rules_setcap.diff.content.data import are_equal
from rules_setcap.diff.content.files import find_size, open_window
from rules_setcap.diff.content.findings import ContentError, Context, Findings, cut
from rules_setcap.diff.content.guesses import format_time
from rules_setcap.diff.content.members import Archive, Member, compare_members

_MTIME = slice(136, 148)  # The field of a header.


class _TarArchive(Archive):
    """A tar."""

    field_names = ("time", "uid", "gid", "mode", "type", "link", "capabilities", "extended attributes")

    def __init__(self, file: BinaryIO, context: Context) -> None:
        """Reads the headers of the entries.

        Raises:
          ContentError: the tar is not valid, or has too many entries.
        """
        self._file = file
        self.members: list[Member] = []
        size = find_size(file)
        context.budget.spend(size)
        file.seek(0)
        try:
            for entry in TarReader(file, ReadBudget(size)):
                if len(self.members) >= limits.CONTENT_MEMBERS:
                    raise ContentError(f"more than {limits.CONTENT_MEMBERS} entries (limit CONTENT_MEMBERS)")
                self.members.append(_make_member(entry))
        except TarError as error:
            raise ContentError(f"not a valid tar: {error}") from None

    def format_field(self, name: str, value: Any) -> str:
        """Returns the value of a field as text."""
        if name == "time":
            seconds, _, fraction = value.partition(".")
            return f"{format_time(int(seconds))}{'.' if fraction else ''}{fraction}"
        if name == "mode":
            return f"{value:o}"
        if name == "capabilities":
            return _format_capabilities(value)
        if name == "extended attributes":
            return " ".join(f"{escape(os.fsdecode(key))}={cut(data.hex(), 60)}" for key, data in value) or "none"
        return escape(str(value)) or "none"

    def open_member(self, member: Member) -> BinaryIO:
        """Returns the content of a member, as it is in the tar."""
        return open_window(self._file, member.place, member.size)


def compare_tar(_name: str, before: BinaryIO, after: BinaryIO, context: Context) -> Findings:
    """Compares two tars.

    Raises:
      ContentError: one of them is invalid, or too large.
    """
    findings = Findings("tar")
    compare_members(findings, _TarArchive(before, context), _TarArchive(after, context), context)
    if not findings.summaries:
        before.seek(0)
        after.seek(0)
        if not are_equal(before, after):
            findings.add("only the encoding of headers or the padding differs")
    return findings


def _make_member(entry: Entry) -> Member:
    """Returns the member of an entry."""
    records = entry.records
    others = tuple(
        (name[len(XATTR) :], value)
        for name, value in sorted(records.items())
        if name.startswith(XATTR) and name != CAPABILITY_RECORD
    )
    mtime = records.get(b"mtime", b"").decode("ascii", "replace") or str(headers.parse_number(entry.header[_MTIME]) or 0)
    fields = (mtime, entry.uid, entry.gid, entry.mode, entry.type, entry.link, records.get(CAPABILITY_RECORD), others)
    return Member(entry.path, fields, entry.size, entry.offset + len(entry.header))


def _format_capabilities(value: bytes | None) -> str:
    """Returns a value of `security.capability` as text."""
    if value is None:
        return "none"
    try:
        capabilities = from_xattr(value)
    except CapabilityError:
        return f"invalid {cut(value.hex(), 60)}"
    rootid = f" (rootid {capabilities.rootid})" if capabilities.rootid else ""
    return capabilities.to_text() + rootid
