"""Defines the entries of a layer that is to be packed."""

from __future__ import annotations

from typing import NamedTuple

FILE, DIRECTORY, SYMLINK, HARDLINK = "file", "directory", "symlink", "hardlink"
MODES = {FILE: 0o755, DIRECTORY: 0o755, SYMLINK: 0o777, HARDLINK: 0o755}
"""The mode of an entry that has no other, by type."""

MAX_ID = (1 << 32) - 2
"""The greatest uid and gid: (uid_t) -1 means "no change" to chown(2)."""


class Entry(NamedTuple):
    """A file, directory or link that is to be packed.

    Attributes:
      path: the absolute path in the image, without a trailing slash.
      type: FILE, DIRECTORY, SYMLINK or HARDLINK.
      source: the path of the file that has the content of a FILE; "" for the other types.
      target: the target of a SYMLINK, or the path of the entry that a HARDLINK links to; "" for the other types.
      mode: the permission bits.
      uid: the owner.
      gid: the group.
      size: the size of the source in bytes.
      xattrs: name and value of each extended attribute, sorted by name.
      attribute: the attribute of the target that the entry comes from, for messages.
    """

    path: str
    type: str
    source: str = ""
    target: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()
    attribute: str = ""
