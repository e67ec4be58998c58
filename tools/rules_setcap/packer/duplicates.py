"""Files of equal content as hard links to one."""

from __future__ import annotations

import hashlib
import os

from rules_setcap.archive.entry import FILE, HARDLINK, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping

_CHUNK = 1 << 20


def link(entries: dict[str, Entry], grants: Mapping[str, object]) -> None:
    """Turns files into links to the first, by name, that has the same bytes, mode, owner, attributes and capabilities.

    Only files that share their size with another are read for it.

    Args:
      entries: by path; changed.
      grants: capabilities by path.

    Raises:
      OSError: a file cannot be read.
    """
    sizes: dict[tuple[object, ...], list[str]] = {}
    for path, entry in entries.items():
        if entry.type == FILE and entry.size:
            alike = (entry.size, entry.mode, entry.uid, entry.gid, entry.xattrs, grants.get(path))
            sizes.setdefault(alike, []).append(path)
    moved: dict[str, str] = {}
    for paths in sizes.values():
        first: dict[object, str] = {}
        for path in sorted(paths, key=str.encode) if len(paths) > 1 else ():
            target = first.setdefault(_content(entries[path].source), path)
            if target != path:
                moved[path] = target
                entries[path] = entries[path]._replace(type=HARDLINK, target=target, source="", size=0)
    for path, entry in entries.items():
        # Links that were there already lead to the file, too: a link may come before another, and not be unpacked yet.
        if entry.type == HARDLINK and entry.target in moved:
            entries[path] = entry._replace(target=moved[entry.target])


def _content(source: str) -> object:
    """What is equal for files of equal bytes."""
    digest = hashlib.sha256()
    file = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while data := os.read(file, _CHUNK):
            digest.update(data)
    finally:
        os.close(file)
    return digest.digest()
