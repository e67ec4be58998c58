"""Compares zip archives, and with them jars, wheels and zipapps, by their members.

zipfile reads the table of contents. The format is described in PKWARE's APPNOTE.TXT; the extra fields of Info-ZIP in its
extrafld.txt.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import escape
from rules_setcap.diff.content.data import are_equal
from rules_setcap.diff.content.files import find_size, open_window
from rules_setcap.diff.content.findings import ContentError, Context, Findings, cut
from rules_setcap.diff.content.guesses import format_time
from rules_setcap.diff.content.members import Archive, Member, compare_members

if TYPE_CHECKING:
    from collections.abc import Iterator

_END = b"PK\5\6"
_END_SIZE = 22
_COMMENT = 0xFFFF  # The longest comment of an archive in bytes.
_RECORD = b"PK\1\2"
_LOCAL = b"PK\3\4"
_SYSTEMS = {0: "FAT", 3: "Unix", 10: "NTFS", 19: "macOS"}
_METHODS = {0: "stored", 8: "deflate", 9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz"}
_EXTRA = {0x5455: "UT", 0x7875: "ux", 0x5855: "UX", 0x000A: "NTFS", 0x0001: "zip64", 0xCAFE: "jar", 0xD935: "alignment"}
_TIMESTAMP = 0x5455
ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,  # A method that this Python does not have.
    RuntimeError,  # An encrypted member.
    ValueError,
    EOFError,
    OSError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""The errors of zipfile for archives that are damaged, or that it does not support."""


class _ZipArchive(Archive):
    """A zip archive."""

    field_names = ("time", "extended time", "mode", "system", "method", "extra fields", "flags", "comment")

    def __init__(self, file: BinaryIO) -> None:
        """Reads the table of contents.

        Raises:
          ContentError: it is not valid, or has too many members.
        """
        check_size(file)
        self._file = file
        try:
            self.archive = zipfile.ZipFile(file)
            self.members = [_make_member(info) for info in self.archive.infolist()]
        except ERRORS as error:
            raise ContentError(f"not a valid zip archive: {error}") from None
        starts = [info.header_offset for info in self.archive.infolist()]
        self.prefix = min(starts, default=0)
        if self.prefix < 0:
            raise ContentError("not a valid zip archive: a member before the start of the file")
        self.comment = self.archive.comment

    def format_field(self, name: str, value: Any) -> str:
        """Returns the value of a field as text."""
        if name == "time":
            return "{:04}-{:02}-{:02} {:02}:{:02}:{:02}".format(*value)
        if name == "extended time":
            return "none" if value is None else format_time(value)
        if name == "mode":
            return f"{value >> 16:o}" if value >> 16 else f"{value:#x}"
        if name in ("system", "method"):
            return (_SYSTEMS if name == "system" else _METHODS).get(value, str(value))
        if name == "comment":
            return cut(escape(value.decode("utf-8", "surrogateescape")), 60) or "none"
        return " ".join(value) or "none" if name == "extra fields" else f"{value:#x}"

    def open_member(self, member: Member) -> Any:
        """Returns a stream of the content of a member."""
        try:
            return _Stream(self.archive.open(member.place), member.name)
        except ERRORS as error:
            raise ContentError(f"{cut(escape(member.name), 100)}: {error}") from None

    def open_stored(self, member: Member) -> BinaryIO | None:
        """Returns the compressed bytes of a member; None if its local header is not valid."""
        info = member.place
        self._file.seek(info.header_offset)
        header = self._file.read(30)
        if len(header) < 30 or header[:4] != _LOCAL:
            return None
        name, extra = struct.unpack_from("<HH", header, 26)
        return open_window(self._file, info.header_offset + 30 + name + extra, info.compress_size)

    def stored_equally(self, member: Member, other: Archive, other_member: Member) -> bool | None:
        """Returns whether two members have the same compressed bytes, or different sizes or CRCs."""
        assert isinstance(other, _ZipArchive)
        old, new = member.place, other_member.place
        if (old.file_size, old.CRC) != (new.file_size, new.CRC):
            return False
        if (old.compress_size, old.compress_type) == (new.compress_size, new.compress_type):
            streams = self.open_stored(member), other.open_stored(other_member)
            if all(streams) and are_equal(*streams):
                return True
        return None


class _Stream:
    """A stream of a member whose errors are ContentErrors."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream, self._name = stream, name

    def read(self, size: int) -> bytes:
        """Returns the next bytes."""
        try:
            data: bytes = self._stream.read(size)
        except ERRORS as error:
            raise ContentError(f"{cut(escape(self._name), 100)}: {error}") from None
        return data


def compare_zip(_name: str, before: BinaryIO, after: BinaryIO, context: Context) -> Findings:
    """Compares two zip archives.

    Raises:
      ContentError: one of them is invalid, or too large.
    """
    findings = Findings("zip archive")
    archives = _ZipArchive(before), _ZipArchive(after)
    _compare_starts(findings, archives, (before, after), context)
    compare_members(findings, *archives, context)
    if archives[0].comment != archives[1].comment:
        texts = [archive.format_field("comment", archive.comment) for archive in archives]
        findings.add("comment of the archive", f"comment of the archive: {texts[0]} -> {texts[1]}")
    if not findings.summaries:
        pairs = list(zip(archives[0].members, archives[1].members, strict=True))
        sizes = [old.name for old, new in pairs if old.place.compress_size != new.place.compress_size]
        streams = ((archives[0].open_stored(old), archives[1].open_stored(new)) for old, new in pairs)
        if sizes or any(not (one and other and are_equal(one, other)) for one, other in streams):
            findings.add("only the compression of members differs; their contents are equal")
            findings.add_causes(["compression: another level or another program"])
    return findings


def _compare_starts(
    findings: Findings, archives: tuple[_ZipArchive, _ZipArchive], files: tuple[BinaryIO, BinaryIO], context: Context
) -> None:
    """Compares what comes before the first member, such as the first line of a zipapp."""
    windows = [open_window(file, 0, archive.prefix) for file, archive in zip(files, archives, strict=True)]
    if are_equal(*windows):
        return
    for window in windows:
        window.seek(0)
    findings.add("bytes before the first member")
    if context.depth > 0:
        findings.add_member("before the first member", context.compare_inside("", *windows))


def find_end(file: BinaryIO) -> bytes:
    """Returns the end record of a zip archive without its comment; nothing if the file has none."""
    size = find_size(file)
    file.seek(max(size - _END_SIZE - _COMMENT, 0))
    data = file.read(_END_SIZE + _COMMENT)
    at = data.rfind(_END)
    return data[at : at + _END_SIZE] if 0 <= at <= len(data) - _END_SIZE else b""


def check_size(file: BinaryIO) -> None:
    """Checks the size of the table of contents before zipfile reads it into memory.

    Raises:
      ContentError: the archive has more than limits.CONTENT_MEMBERS members, or a table of limits.CONTENT_TABLE bytes.
    """
    size = find_size(file)
    # zipfile takes the size from the end record. Whatever that says, the table is between these offsets.
    end = find_end(file)
    table = struct.unpack_from("<I", end, 12)[0] if end else 0
    if table == 0xFFFFFFFF:
        table = limits.CONTENT_TABLE
    if table > limits.CONTENT_TABLE:
        raise ContentError(f"a table of contents of {table} bytes (limit CONTENT_TABLE: {limits.CONTENT_TABLE})")
    file.seek(max(size - table - _END_SIZE - _COMMENT - 76, 0))
    records = sum(data.count(_RECORD) for data in _read_chunks(file))
    if records > limits.CONTENT_MEMBERS:
        raise ContentError(f"more than {limits.CONTENT_MEMBERS} members (limit CONTENT_MEMBERS)")


def _read_chunks(file: BinaryIO) -> Iterator[bytes]:
    while data := file.read(1 << 20):
        yield data


def _make_member(info: zipfile.ZipInfo) -> Member:
    """Returns the member of an entry of the table of contents."""
    extra = dict(_read_extra(info.extra))
    time = extra.pop(_TIMESTAMP, b"")
    seconds = struct.unpack_from("<i", time, 1)[0] if len(time) >= 5 and time[0] & 1 else None
    names = tuple(f"{_EXTRA.get(kind, f'{kind:#06x}')}:{cut(data.hex(), 60)}" for kind, data in extra.items() if kind != 1)
    fields = (
        info.date_time,
        seconds,
        info.external_attr,
        info.create_system,
        info.compress_type,
        names,
        info.flag_bits,
        info.comment,
    )
    return Member(info.filename, fields, info.file_size, info)


def _read_extra(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the number and the bytes of each extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        yield kind, extra[at + 4 : at + 4 + size]
        at += 4 + size
