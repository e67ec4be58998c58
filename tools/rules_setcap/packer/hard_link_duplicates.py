"""Replaces duplicate files by hard links."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import FILE, HARDLINK, Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHUNK = 1 << 20  # Bytes.


def link_duplicates(entries: dict[str, Entry], capabilities: Mapping[str, object]) -> None:
    """Replaces each file by a hard link to the first, by name, with the same bytes, mode, owner, attributes and capabilities.

    Only files that have these and their size in common are read to compare them.

    Args:
      entries: the entries by path; they are changed.
      capabilities: the capabilities by path.

    Raises:
      OSError: a file cannot be read.
    """
    candidates: dict[tuple[object, ...], list[str]] = {}
    for path, entry in entries.items():
        if entry.type == FILE and entry.size:
            key = (entry.size, entry.mode, entry.uid, entry.gid, entry.xattrs, capabilities.get(path))
            candidates.setdefault(key, []).append(path)
    replaced: dict[str, str] = {}
    for paths in candidates.values():
        first: dict[bytes, str] = {}
        for path in sorted(paths, key=str.encode) if len(paths) > 1 else ():
            target = first.setdefault(_hash_file(entries[path].source), path)
            if target != path:
                replaced[path] = target
                entries[path] = entries[path]._replace(type=HARDLINK, target=target, source="", size=0)
    for path, entry in entries.items():
        # A hard link to a file that is a hard link now must lead to the first file too: it may be unpacked earlier.
        if entry.type == HARDLINK and entry.target in replaced:
            entries[path] = entry._replace(target=replaced[entry.target])


def _hash_file(path: str) -> bytes:
    digest = hashlib.sha256()
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while data := os.read(file, _CHUNK):
            digest.update(data)
    finally:
        os.close(file)
    return digest.digest()
