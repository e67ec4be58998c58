"""Adds the parent directories of a layer's entries.

Container engines differ in how they unpack an entry whose parent directories are not in the same layer. containerd and
podman copy them from the lower layers. Docker's overlay2 storage driver creates them again: they belong to root and have
mode 0755, and a directory replaces a symbolic link of a lower layer. Docker's other storage drivers create directories that
are missing with mode 0600. So each layer has an entry for each parent directory, with the attributes that the directory has
in the lower layers, at the path to which the symbolic links of the lower layers lead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, Entry
from rules_setcap.diagnostics.errors import quote
from rules_setcap.packer.placement import describe_kind

if TYPE_CHECKING:
    from rules_setcap.diagnostics.problems import Problems
    from rules_setcap.oci.merged_contents import MergedContents

ALL, MISSING, NONE = "all", "missing", "none"
"""The values of the attribute parent_directories."""

# Directories that have other permissions than 0755 in every distribution, for images whose lower layers do not have them.
_CONVENTIONAL_MODES = {"/root": 0o700, "/tmp": 0o1777, "/var/tmp": 0o1777}


def add_parent_directories(entries: dict[str, Entry], lower: MergedContents, which: str, mode: int, problems: Problems) -> None:
    """Adds the parent directories of the entries, and the directories that lower layers have changed by theirs.

    Args:
      entries: the entries by path, from place_entries(); they are changed.
      lower: the merged root filesystem of the lower layers.
      which: ALL; MISSING for those that the lower layers do not have; NONE.
      mode: the permissions of directories that the lower layers do not have.
      problems: the collector of problems: entries below an entry that is not a directory.
    """
    for path in lower.changed_directories:
        if path not in entries:
            entries[path] = _copy_directory(path, lower, "layers")
    last_parent = ""
    for below in list(entries):
        parent = path = below[: below.rindex("/")]
        if parent == last_parent:
            continue  # Most entries follow another one of their directory.
        entry = entries[below]
        while path and path not in entries:
            if path in lower.directories:
                if which == ALL:
                    entries[path] = _copy_directory(path, lower, entry.attribute)
            elif which != NONE:
                own_mode = _CONVENTIONAL_MODES.get(path, mode) if mode == 0o755 else mode
                entries[path] = Entry(path, DIRECTORY, mode=own_mode, attribute=entry.attribute)
            path = path.rpartition("/")[0]
        if path and entries[path].type != DIRECTORY:
            what = f"{quote(path)} is {describe_kind(entries[path])}, and cannot hold an entry"
            problems.add(entry.attribute, entry.path, what)
        else:
            last_parent = parent


def _copy_directory(path: str, lower: MergedContents, attribute: str) -> Entry:
    """Returns an entry for a directory of the lower layers, with the attributes that it has there."""
    known = lower.directories[path]
    return Entry(path, DIRECTORY, mode=known.mode, uid=known.uid, gid=known.gid, xattrs=known.xattrs, attribute=attribute)
