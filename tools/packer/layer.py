"""Writes a layer: entries to tar, to blob, with its digests."""

from __future__ import annotations

import hashlib
import io
import json
import os
from typing import Any, Callable, Iterable, Mapping

from capabilities import FileCapabilities

from . import compress, files, tar
from .entries import DIRECTORY, FILE, HARDLINK, SYMLINK, Entry
from .errors import InputError, problem, quote

_CHUNK = 1 << 20
_KINDS = {FILE: tar.REGULAR, DIRECTORY: tar.DIRECTORY, SYMLINK: tar.SYMBOLIC_LINK, HARDLINK: tar.HARD_LINK}

CAPABILITY_RECORD = b"SCHILY.xattr.security.capability"
"""The pax record that unpackers turn into the extended attribute `security.capability`."""


def write(
    output: str,
    entries: Iterable[Entry],
    grants: Mapping[str, FileCapabilities],
    *,
    compression: str,
    level: int,
    mtime: int,
    created_by: str,
) -> dict[str, Any]:
    """Writes the blob in one pass over the files.

    Args:
      output: path of the blob.
      entries: all of them, in any order.
      grants: capabilities by path.
      compression: a key of compress.MEDIA_TYPES.
      level: of the compression.
      mtime: of every entry, seconds since 1970.
      created_by: for the image's history.

    Returns:
      The metadata: OCI descriptor, diff_id, capabilities as text by path, created_by.

    Raises:
      InputError: a file is missing or changes while it is read.
      OSError: the blob cannot be written.
    """
    with files.whole(output) as file:
        blob = _Counted(file.write)
        if compression == "gzip":
            codec: compress.Gzip | compress.Plain = compress.Gzip(blob.write, level)
            diff = _Counted(codec.write)
        else:
            codec = compress.Plain(blob.write)
            diff = blob
        for entry in sorted(entries, key=_order):
            _write_entry(diff.write, entry, grants.get(entry.path), mtime)
        diff.write(tar.END)
        codec.close()
    return {
        "descriptor": {
            "mediaType": compress.MEDIA_TYPES[compression],
            "digest": blob.digest(),
            "size": blob.size,
        },
        "diff_id": diff.digest(),
        "capabilities": {path: grants[path].to_text() for path in sorted(grants)},
        "created_by": created_by,
    }


def encode(metadata: Mapping[str, Any]) -> bytes:
    """Metadata as the JSON that the other steps read."""
    return json.dumps(metadata, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode() + b"\n"


class _Counted:
    """Counts and hashes what passes through."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)
        self._write(data)

    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


def _name(entry: Entry) -> bytes:
    """The entry's name: without the leading slash, as Docker and BuildKit write it; directories end with one."""
    return entry.path[1:].encode() + (b"/" if entry.type == DIRECTORY else b"")


def _order(entry: Entry) -> tuple[bool, bytes]:
    """By name, so that a directory is before what is in it; hard links last, after what they link to."""
    return entry.type == HARDLINK, _name(entry)


def _write_entry(
    write: Callable[[bytes], object], entry: Entry, grant: FileCapabilities | None, mtime: int
) -> None:
    link = entry.target
    if entry.type == HARDLINK:
        link = link[1:]

    def header(size: int) -> bytes:
        return tar.header(
            _name(entry),
            _KINDS[entry.type],
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            size=size,
            mtime=mtime,
            link=link.encode(),
            records=None if grant is None else {CAPABILITY_RECORD: grant.to_xattr()},
        )

    if entry.type != FILE or not entry.source:
        write(header(0))
        return
    with _open(entry) as source:
        size = left = os.fstat(source.fileno()).st_size
        write(header(size))
        while left and (data := source.read(min(left, _CHUNK))):
            left -= len(data)
            write(data)
        if left or source.read(1):
            raise InputError([problem(entry.attribute, entry.source, "its size changed while it was read")])
    write(bytes(-size % tar.BLOCK))


def _open(entry: Entry) -> io.FileIO:
    try:
        return open(entry.source, "rb", buffering=0)
    except OSError as error:
        raise InputError(
            [problem(entry.attribute, entry.path, f"its source {quote(entry.source)} cannot be read: {error.strerror}")]
        ) from None
