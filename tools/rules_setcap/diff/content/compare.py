"""Compares the contents of two files by what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from rules_setcap.archive import headers
from rules_setcap.archive.tar import BLOCK
from rules_setcap.diagnostics import limits
from rules_setcap.diff.content import ar_archive, python_bytecode
from rules_setcap.diff.content.ar_archive import compare_ar
from rules_setcap.diff.content.compressed import compare_compressed
from rules_setcap.diff.content.data import are_equal, compare_data
from rules_setcap.diff.content.elf import compare_elf
from rules_setcap.diff.content.files import find_size
from rules_setcap.diff.content.findings import Budget, ContentError, Context, Findings, count
from rules_setcap.diff.content.python_bytecode import compare_bytecode
from rules_setcap.diff.content.tar_archive import compare_tar
from rules_setcap.diff.content.text import compare_text, find_encoding
from rules_setcap.diff.content.zip_archive import compare_zip, find_end
from rules_setcap.diff.model import ContentDifference
from rules_setcap.executables.elf import ElfError

if TYPE_CHECKING:
    from collections.abc import Callable

    _Comparison = Callable[[str, BinaryIO, BinaryIO, Context], Findings]

_COMPARISONS: dict[str, _Comparison] = {
    "ELF file": compare_elf,
    "zip archive": compare_zip,
    "ar archive": compare_ar,
    "gzip": compare_compressed,
    "zstd": compare_compressed,
    "xz": compare_compressed,
    "bzip2": compare_compressed,
    "tar": compare_tar,
    "Python bytecode": compare_bytecode,
    "text": compare_text,
}
_MAGIC = (
    (b"\x7fELF", "ELF file"),
    (b"PK\3\4", "zip archive"),
    (b"PK\5\6", "zip archive"),
    (ar_archive.MAGIC, "ar archive"),
    (ar_archive.THIN, "ar archive"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x89PNG\r\n\x1a\n", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"%PDF-", "PDF document"),
    (b"SQLite format 3\0", "SQLite database"),
    (b"\xca\xfe\xba\xbe\0", "Java class"),
    (b"hsqs", "squashfs image"),
)


def compare_contents(name: str, before: BinaryIO, after: BinaryIO) -> ContentDifference:
    """Compares the contents of two files by what they are.

    The files are untrusted. One that is damaged, or that takes too much work for its size, is compared byte by byte.

    Args:
      name: the path of the files.
      before: the first file, which must be seekable.
      after: the second file.

    Returns:
      The difference. Its text is printable.
    """
    budget = Budget(find_size(before) + find_size(after))
    return _compare(name, before, after, Context(_compare, budget, limits.CONTENT_DEPTH))


def _compare(name: str, before: BinaryIO, after: BinaryIO, context: Context) -> ContentDifference:
    """Compares the contents of two files in a context."""
    kinds = [_find_kind(file) for file in (before, after)]
    kind = kinds[0] if kinds[0] == kinds[1] else " -> ".join(kinds)
    comparisons = {_COMPARISONS.get(kind) for kind in kinds}
    compare = comparisons.pop()
    note = ""
    if compare and not comparisons and context.depth > 0:
        before.seek(0)
        after.seek(0)
        if are_equal(before, after):
            return ContentDifference(kind, "equal")
        try:
            findings = compare(name, before, after, context)
        except (ContentError, ElfError) as error:
            note = f"compared byte by byte: {error}"
        else:
            if not findings.summaries:
                _add_unexplained(findings, before, after)
            return findings.finish()
    if kinds[0] != kinds[1]:
        return ContentDifference(kind, f"another kind of file; {find_size(before):,} -> {count(find_size(after), 'byte')}")
    findings = compare_data(before, after, kind)
    if note:
        findings.add_details([note])
    return findings.finish()


def _add_unexplained(findings: Findings, before: BinaryIO, after: BinaryIO) -> None:
    """Adds the bytes that differ in files that are equal as far as their format was compared."""
    data = compare_data(before, after)
    findings.add("what was compared is equal; " + "; ".join(data.summaries), *data.details)
    findings.add_causes(data.causes)


def _find_kind(file: BinaryIO) -> str:
    """Returns what a file is: a key of _COMPARISONS if it is compared by that, or other words."""
    file.seek(0)
    start = file.read(BLOCK)
    if not start:
        return "empty file"
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            return kind
    if python_bytecode.is_bytecode(start[: python_bytecode.HEADER]):
        return "Python bytecode"
    if _is_tar(start):
        return "tar"
    if start.startswith(b"#!") and find_end(file):
        return "zip archive"
    return "text" if find_encoding(file) else "data"


def _is_tar(start: bytes) -> bool:
    """Returns whether a file begins with the header of a tar."""
    if len(start) < BLOCK or not start.strip(b"\0"):
        return False
    try:
        headers.parse_header(start)
    except headers.HeaderError:
        return False
    return True
