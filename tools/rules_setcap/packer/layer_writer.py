"""Writes a layer: entries into a tar, the tar into a blob, and the metadata that describes the blob."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from rules_setcap.archive import compress, tar
from rules_setcap.archive.blob import BlobWriter
from rules_setcap.archive.entry import DIRECTORY, FILE, HARDLINK, SYMLINK, Entry
from rules_setcap.archive.records import CAPABILITY_RECORD
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.executables import elf
from rules_setcap.oci.layer_contents import LayerContents
from rules_setcap.packer.tar_styles import sort_entries

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import Any

    from rules_setcap.capabilities import FileCapabilities
    from rules_setcap.packer.tar_styles import TarStyle

METADATA_VERSION = 1
"""The value of the key `version` of the metadata.

It changes when `descriptor`, `diff_id` or `capabilities` is removed or gets another meaning. The other keys may change in any
version of rules_setcap.
"""

_TYPE_FLAGS = {FILE: tar.REGULAR, DIRECTORY: tar.DIRECTORY, SYMLINK: tar.SYMBOLIC_LINK, HARDLINK: tar.HARD_LINK}
_PADDING = bytes(tar.BLOCK)
_HAS_SEEK_HOLE = hasattr(os, "SEEK_HOLE")  # Not every host has it.


def write_layer(
    output: str,
    entries: Collection[Entry],
    assigned: Mapping[str, FileCapabilities],
    *,
    compression: str,
    level: int,
    library: str,
    threads: int,
    mtime: int,
    created_by: str,
    style: TarStyle,
    named: Collection[str] = (),
    program: str = "",
) -> dict[str, Any]:
    """Writes a layer in one pass over its files.

    Args:
      output: the path of the blob.
      entries: the entries, in any order.
      assigned: the capabilities by path.
      compression: a key of compress.MEDIA_TYPES.
      level: the compression level; 0 for the default.
      library: the path of the library that compresses; "" for that of the interpreter.
      threads: the number of threads that compress; the bytes do not depend on it.
      mtime: the modification time of every entry, in seconds since 1970.
      created_by: the text for the history of the image.
      style: the tar style.
      named: paths of directories that the target names.
      program: the path of the image's binary, whose ELF headers are recorded even if it has no capabilities.

    Returns:
      The metadata, as describe_layer() returns it.

    Raises:
      InputError: a file cannot be read, or changes while it is read.
      OSError: the blob cannot be written.
    """
    contents = LayerContents()
    with open_blob(output, compression, level, library, threads) as blob:
        common: Any = None
        for entry in sort_entries(entries, style):
            path, kind, _, _, mode, uid, gid, size, xattrs, _ = entry
            if kind != FILE or xattrs or path in assigned:
                blob.write(_format_header(entry, style.entry_name(entry), assigned.get(path), mtime))
            else:
                if common != (mode, uid, gid):
                    common = mode, uid, gid
                    headers = tar.FileHeaders(mode, uid, gid, mtime)
                blob.write(headers.format(style.entry_name(entry), size))
            if size:
                contents.add_start(path, mode, _write_content(blob, entry))
        blob.write(tar.END)
    contents.add_entries(entries, named)
    described = {program, *assigned}
    programs = {entry.path: _read_headers(entry.source) for entry in entries if entry.path in described}
    return describe_layer(blob, compression, assigned, created_by, contents, programs)


@contextlib.contextmanager
def open_blob(output: str, compression: str, level: int, library: str, threads: int) -> Iterator[BlobWriter]:
    """Opens a blob for writing, and closes it at the end of the block. An error in the block leaves no file behind.

    The arguments are those of write_layer().
    """
    codec = compress.make_codec(compression, level, library)
    with files.open_new_file(output) as file:
        blob = BlobWriter(file, codec, threads)
        try:
            yield blob
            blob.close()
        finally:
            blob.abandon()


def describe_layer(
    blob: BlobWriter,
    compression: str,
    assigned: Mapping[str, FileCapabilities],
    created_by: str,
    contents: LayerContents,
    programs: Mapping[str, Mapping[str, Any] | None],
) -> dict[str, Any]:
    """Returns the metadata of a layer.

    Args:
      blob: the blob of the layer, closed.
      compression: a key of compress.MEDIA_TYPES.
      assigned: the capabilities by path.
      created_by: the text for the history of the image.
      contents: the paths that the layer has.
      programs: what elf.describe_program() returns, by path, for the files that have capabilities; None for a file without bytes.

    Returns:
      A dict with these keys, which docs/reference/schemas/layer-metadata.schema.json describes:
        version: METADATA_VERSION.
        descriptor: the OCI descriptor of the blob.
        diff_id: the digest of the uncompressed tar.
        capabilities: the capabilities by path, as cap_to_text(3) writes them.
        created_by: as the argument.
        contents: the paths, as LayerContents.encode() returns them.
        programs: as the argument.
    """
    return {
        "version": METADATA_VERSION,
        "descriptor": {"mediaType": compress.MEDIA_TYPES[compression], "digest": blob.digest, "size": blob.size},
        "diff_id": blob.diff_id,
        "capabilities": {path: assigned[path].to_text() for path in sorted(assigned)},
        "created_by": created_by,
        "contents": contents.encode(),
        "programs": {path: headers for path, headers in sorted(programs.items()) if headers is not None},
    }


def _read_headers(source: str) -> dict[str, Any] | None:
    """Returns what elf.describe_program() returns for a file; None for a file without a source, which is empty."""
    if not source:
        return None
    with open(source, "rb") as file:
        return elf.describe_program(file)


def _format_header(entry: Entry, name: bytes, assigned: FileCapabilities | None, mtime: int) -> bytes:
    """Returns the header of an entry of any kind."""
    return tar.format_header(
        name,
        _TYPE_FLAGS[entry.type],
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        size=entry.size,
        mtime=mtime,
        link=(entry.target[1:] if entry.type == HARDLINK else entry.target).encode(),
        records=_make_records(entry, assigned) if entry.xattrs or assigned else None,
    )


def _write_content(blob: BlobWriter, entry: Entry) -> bytes:
    """Writes the content of a file, and returns its first bytes."""
    try:
        source = os.open(entry.source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        what = f"its source {quote(entry.source)} cannot be read: {error.strerror}"
        raise InputError([format_problem(entry.attribute, entry.path, what)]) from None
    try:
        start = _copy_file(blob, source, entry.size)
        if start is None:
            raise InputError([format_problem(entry.attribute, entry.source, "its size changed while it was read")])
    finally:
        os.close(source)
    blob.write(_PADDING[: -entry.size % tar.BLOCK])
    return start


def _make_records(entry: Entry, assigned: FileCapabilities | None) -> dict[bytes, bytes]:
    """Returns the pax records that unpackers turn into extended attributes."""
    records = {b"SCHILY.xattr." + name.encode("utf-8", "surrogateescape"): value for name, value in entry.xattrs}
    if assigned is not None:
        records[CAPABILITY_RECORD] = assigned.to_xattr()
    return records


def _copy_file(blob: BlobWriter, source: int, size: int) -> bytes | None:
    """Writes the bytes of a file to a blob. Holes are not read.

    Args:
      blob: the blob.
      source: a file descriptor.
      size: the expected number of bytes.

    Returns:
      The first bytes of the file; None if it does not have `size` bytes.
    """
    if size < blob.room:
        data = os.read(source, size + 1)  # Reads a byte more if the file has grown.
        blob.write(data)
        return data if len(data) == size else None
    start = b""
    done = 0
    hole_start, hole_end = _find_hole(source, 0, size)
    while done < size:
        if done == hole_start:
            blob.write_zeros(hole_end - done)
            done = os.lseek(source, hole_end, os.SEEK_SET)
            hole_start, hole_end = _find_hole(source, done, size)
            continue
        data = os.read(source, min(hole_start - done, blob.room))
        if not data:
            return None
        start = start or data
        done += len(data)
        blob.write(data)
    # Reading on would not tell: the end of a file that has become shorter looks like a hole.
    return start if os.fstat(source).st_size == size else None


def _find_hole(source: int, start: int, size: int) -> tuple[int, int]:
    """Returns start and end of the first hole from `start` on (lseek(2), SEEK_HOLE); an empty one at the end if there is none."""
    if not _HAS_SEEK_HOLE:
        return size, size
    try:
        hole_start = min(os.lseek(source, start, os.SEEK_HOLE), size)
        try:
            hole_end = min(os.lseek(source, hole_start, os.SEEK_DATA), size)
        except OSError:  # ENXIO: the file ends with the hole.
            hole_end = size
        os.lseek(source, start, os.SEEK_SET)
        return hole_start, hole_end
    except OSError:  # The file system does not support holes.
        return size, size
