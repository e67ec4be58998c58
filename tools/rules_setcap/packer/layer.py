"""Writes a layer: entries to tar, to blob, with its metadata."""

from __future__ import annotations

import contextlib
import os

from rules_setcap.archive import compress, tar
from rules_setcap.archive.blob import BlobWriter
from rules_setcap.archive.entry import DIRECTORY, FILE, HARDLINK, SYMLINK, Entry
from rules_setcap.archive.records import CAPABILITY_RECORD
from rules_setcap.capabilities import FileCapabilities
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError, problem, quote
from rules_setcap.executables import elf
from rules_setcap.oci.contents import Contents
from rules_setcap.packer.styles import Style, arrange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Collection, Iterator, Mapping

_KINDS = {FILE: tar.REGULAR, DIRECTORY: tar.DIRECTORY, SYMLINK: tar.SYMBOLIC_LINK, HARDLINK: tar.HARD_LINK}


def write(
    output: str,
    entries: Collection[Entry],
    grants: Mapping[str, FileCapabilities],
    *,
    compression: str,
    level: int,
    library: str,
    threads: int,
    mtime: int,
    created_by: str,
    style: Style,
    named: Collection[str] = (),
    program: str = "",
) -> dict[str, Any]:
    """Writes the blob in one pass over the files.

    Args:
      output: path of the blob.
      entries: all of them, in any order.
      grants: capabilities by path.
      compression: a key of compress.MEDIA_TYPES.
      level: of the compression; 0 for its default.
      library: path of the compression's library, if that is not the interpreter's.
      threads: how many compress; they do not change a byte.
      mtime: of every entry, seconds since 1970.
      created_by: for the image's history.
      style: how entries are written.
      named: paths of directories that the target names.
      program: path of the image's binary, whose ELF headers are recorded even without capabilities.

    Returns:
      The metadata, as describe() returns it.

    Raises:
      InputError: a file is missing or changes while it is read.
      OSError: the blob cannot be written.
    """
    contents = Contents()
    with new_blob(output, compression, level, library, threads) as blob:
        for entry in arrange(entries, style):
            start = _write_entry(blob, entry, style.name(entry), grants.get(entry.path), mtime)
            contents.add_start(entry.path, entry.mode, start)
        blob.write(tar.END)
    contents.add_entries(entries, named)
    programs = {entry.path: _headers(entry.source) for entry in entries if entry.path in grants or entry.path == program}
    return describe(blob, compression, grants, created_by, contents, programs)


@contextlib.contextmanager
def new_blob(output: str, compression: str, level: int, library: str, threads: int) -> Iterator[BlobWriter]:
    """A blob that is closed, and whole, when the block ends well; arguments as of write()."""
    codec = compress.make_codec(compression, level, library)
    with files.open_new_file(output) as file:
        blob = BlobWriter(file, codec, threads)
        try:
            yield blob
            blob.close()
        finally:
            blob.abandon()


def describe(
    blob: BlobWriter,
    compression: str,
    grants: Mapping[str, FileCapabilities],
    created_by: str,
    contents: Contents,
    programs: Mapping[str, Mapping[str, Any] | None],
) -> dict[str, Any]:
    """Returns the metadata of a closed blob.

    Its keys are `descriptor` (OCI), `diff_id`, `capabilities` (path -> cap_to_text(3)), `created_by` (for the
    history), `contents` (contents.py) and `programs` (path of a file with capabilities -> elf.describe_program()).
    """
    return {
        "descriptor": {"mediaType": compress.MEDIA_TYPES[compression], "digest": blob.digest, "size": blob.size},
        "diff_id": blob.diff_id,
        "capabilities": {path: grants[path].to_text() for path in sorted(grants)},
        "created_by": created_by,
        "contents": contents.encode(),
        "programs": {path: headers for path, headers in sorted(programs.items()) if headers is not None},
    }


def _headers(source: str) -> dict[str, Any] | None:
    """Returns elf.describe_program() of a file; None of an empty one."""
    if not source:
        return None
    with open(source, "rb") as file:
        return elf.describe_program(file)


def _write_entry(blob: BlobWriter, entry: Entry, name: bytes, grant: FileCapabilities | None, mtime: int) -> bytes:
    """Writes an entry; returns the first bytes of its content."""
    header = tar.format_header(
        name,
        _KINDS[entry.type],
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        size=entry.size,
        mtime=mtime,
        link=(entry.target[1:] if entry.type == HARDLINK else entry.target).encode(),
        records=_records(entry, grant) if entry.xattrs or grant else None,
    )
    blob.write(header)
    if not entry.size:
        return b""
    try:
        source = os.open(entry.source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        what = f"its source {quote(entry.source)} cannot be read: {error.strerror}"
        raise InputError([problem(entry.attribute, entry.path, what)]) from None
    try:
        start = _copy(blob, source, entry.size)
        if start is None:
            raise InputError([problem(entry.attribute, entry.source, "its size changed while it was read")])
    finally:
        os.close(source)
    blob.write(_PADDING[: -entry.size % tar.BLOCK])
    return start


def _records(entry: Entry, grant: FileCapabilities | None) -> dict[bytes, bytes]:
    """Extended attributes as pax records, which unpackers turn into attributes again."""
    records = {b"SCHILY.xattr." + name.encode("utf-8", "surrogateescape"): value for name, value in entry.xattrs}
    if grant is not None:
        records[CAPABILITY_RECORD] = grant.to_xattr()
    return records


_PADDING = bytes(tar.BLOCK)
_KNOWS_HOLES = hasattr(os, "SEEK_HOLE")  # Not every host has it.


def _copy(blob: BlobWriter, source: int, size: int) -> bytes | None:
    """Hands the bytes of a file to the blob, and its holes as such.

    Returns:
      The first bytes of the file, or None if it does not have `size` bytes.
    """
    if size < blob.room:
        data = os.read(source, size + 1)  # One more, if it has grown.
        blob.write(data)
        return data if len(data) == size else None
    start = b""
    done = 0
    hole = _next_hole(source, 0, size)
    while done < size:
        if done == hole[0]:
            blob.write_zeros(hole[1] - done)
            done = os.lseek(source, hole[1], os.SEEK_SET)
            hole = _next_hole(source, done, size)
            continue
        data = os.read(source, min(hole[0] - done, blob.room))
        if not data:
            return None
        start = start or data
        done += len(data)
        blob.write(data)
    # Not by reading on: the end of a file that became shorter looks like a hole.
    return start if os.fstat(source).st_size == size else None


def _next_hole(source: int, start: int, size: int) -> tuple[int, int]:
    """Start and end of the first hole from `start` on (lseek(2), SEEK_HOLE); the end of the file is one."""
    if not _KNOWS_HOLES:
        return size, size
    try:
        begin = min(os.lseek(source, start, os.SEEK_HOLE), size)
        try:
            end = min(os.lseek(source, begin, os.SEEK_DATA), size)
        except OSError:  # ENXIO: nothing but the hole.
            end = size
        os.lseek(source, start, os.SEEK_SET)
        return begin, end
    except OSError:  # A file system that knows no holes.
        return size, size
