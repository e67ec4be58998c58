"""Places the entries of a layer over the layers below it, and adds their parent directories.

A layer must not change what is below it unless the target asks for it. Container engines
differ in how they unpack an entry whose parent directories are not in the same layer:
containerd and podman copy them from below, Docker's overlay2 creates them anew (root's, 0755,
a directory even where a symbolic link is below), its other storage drivers with mode 0600 if
they are missing. So each layer has an entry for each parent directory, with the attributes that
the directory has below, at the place where the links below lead.
"""

from __future__ import annotations

from rules_setcap.archive.entry import DIRECTORY, HARDLINK, SYMLINK, Entry
from rules_setcap.diagnostics.errors import problem, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Collection

    from rules_setcap.oci.merged import Merged

ALL, MISSING, NONE = "all", "missing", "none"

# Directories whose permissions are not 0755 in every distribution, where the layers below are not known.
_CONVENTIONAL = {"/root": 0o700, "/tmp": 0o1777, "/var/tmp": 0o1777}


def place(entries: dict[str, Entry], below: Merged, named: Collection[str], replaces: Collection[str], problems: list[str]) -> dict[str, Entry]:
    """Moves each entry to where the symbolic links of the layers below lead.

    Args:
      entries: by path.
      below: the layers below.
      named: paths of directories that the target names; others keep the attributes that they have below.
      replaces: paths of lower entries that may be replaced by an entry of another kind.
      problems: gets the entries that would replace one of another kind.

    Returns:
      The entries by their new paths.
    """
    if not (below.files or below.directories or below.links):
        return entries
    placed: dict[str, Entry] = {}
    holders: dict[str, str] = {}  # Memoized results of _file_at_or_above().
    for path, entry in entries.items():
        try:
            real = below.locate(path)
            if entry.type == DIRECTORY and below.kind(real) == SYMLINK:
                real = below.resolve(real)
            if entry.type == HARDLINK:
                entry = entry._replace(target=below.locate(entry.target))
        except ValueError as error:
            problems.append(problem(entry.attribute, path, str(error)))
            real = path
        folder = real.rpartition("/")[0]
        if folder not in holders:
            holders[folder] = _file_at_or_above(folder, below)
        if wrong := _conflict(path, real, entry, holders[folder], below, replaces):
            problems.append(problem(entry.attribute, path, wrong))
        if entry.type == DIRECTORY and path not in named and (known := below.directories.get(real)):
            entry = entry._replace(mode=known.mode, uid=known.uid, gid=known.gid, xattrs=known.xattrs)
        if real != path:
            entry = entry._replace(path=real)
        other = placed.setdefault(real, entry)
        if other is not entry and other[:-1] != entry[:-1]:
            what = f"leads to {quote(real)} through the links of the layers below, which {other.attribute} names as well; keep one"
            problems.append(problem(entry.attribute, path, what))
    return placed


def add_parents(entries: dict[str, Entry], below: Merged, parents: str, mode: int, problems: list[str]) -> None:
    """Adds the directories that lead to the entries, and those that lower layers changed by theirs.

    Args:
      entries: by path, from place().
      below: the layers below.
      parents: ALL; MISSING, only those that are not in the layers below; or NONE.
      mode: permissions of directories that are not below.
      problems: gets entries below an entry that is not a directory.
    """
    for path in below.changed:
        if path not in entries:
            entries[path] = _as_below(path, below, "layers")
    for path, entry in list(entries.items()):
        while (path := path.rpartition("/")[0]) and path not in entries:
            if path in below.directories:
                if parents == ALL:
                    entries[path] = _as_below(path, below, entry.attribute)
            elif parents != NONE:
                own = _CONVENTIONAL.get(path, mode) if mode == 0o755 else mode
                entries[path] = Entry(path, DIRECTORY, mode=own, attribute=entry.attribute)
        if path and entries[path].type != DIRECTORY:
            what = f"{quote(path)} is {_what(entries[path])}, and cannot hold an entry"
            problems.append(problem(entry.attribute, entry.path, what))


def _as_below(path: str, below: Merged, attribute: str) -> Entry:
    """Returns an entry for a directory of the layers below, with the attributes that it has there."""
    known = below.directories[path]
    return Entry(path, DIRECTORY, mode=known.mode, uid=known.uid, gid=known.gid, xattrs=known.xattrs, attribute=attribute)


def _conflict(path: str, real: str, entry: Entry, holder: str, below: Merged, replaces: Collection[str]) -> str:
    """Returns why an entry cannot be over the layers below; "" if it can.

    Args:
      path: of the entry, as the user wrote it.
      real: the place that it leads to.
      entry: the entry.
      holder: the file below that is at one of its parents; "" if there is none.
      below: the layers below.
      replaces: paths of lower entries that may be replaced by an entry of another kind.
    """
    if holder:
        return f"{quote(holder)} is a file in a layer below, and cannot hold an entry"
    kind = below.kind(real)
    if kind in ("", _kind(entry)) or path in replaces or real in replaces:
        return ""
    where = f" at {quote(real)}" if real != path else ""
    return f"would replace {below.describe(real)} of a layer below by {_what(entry)}{where}; {_advice(real, kind, below)}"


def _kind(entry: Entry) -> str:
    """Returns the kind of an entry as Merged.kind() has it."""
    return entry.type if entry.type in (DIRECTORY, SYMLINK) else "file"


def _what(entry: Entry) -> str:
    return {DIRECTORY: "a directory", SYMLINK: f"a symbolic link to {quote(entry.target)}"}.get(entry.type, "a file")


def _advice(path: str, kind: str, below: Merged) -> str:
    """Returns what to write in place of a path that would replace an entry of another kind."""
    allow = f"to replace it, add {quote(path)} to replaces"
    if kind == SYMLINK:
        try:
            return f"write {quote(below.resolve(path))} for the file that it leads to; {allow}"
        except ValueError:
            pass
    return f"choose another path; {allow}"


def _file_at_or_above(path: str, below: Merged) -> str:
    """Returns the file below that is at a path or at one of its parents; "" if there is none."""
    while path and path not in below.files:
        path = path.rpartition("/")[0]
    return path
