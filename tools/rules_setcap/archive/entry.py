"""The kinds of entries that a layer has, and an entry that is to be packed."""

from __future__ import annotations

from collections import namedtuple

Entry = namedtuple(
    "Entry",
    ("path", "type", "source", "target", "mode", "uid", "gid", "size", "xattrs", "attribute"),
    defaults=("", "", 0, 0, 0, 0, (), ""),
)
"""An entry. path: str without trailing slash; type: as above; source, target: str, may be ""; mode, uid, gid: int; size:
int, of the source in bytes; xattrs: pairs of name (str) and value (bytes), sorted by name; attribute: str."""

FILE, DIRECTORY, SYMLINK, HARDLINK = "file", "directory", "symlink", "hardlink"
MODES = {FILE: 0o755, DIRECTORY: 0o755, SYMLINK: 0o777, HARDLINK: 0o755}

MAX_ID = (1 << 32) - 2
"""The greatest uid and gid: (uid_t) -1 means "no change" to chown(2)."""
