"""Places the entries of a layer over the lower layers.

A layer must not change anything below it unless the target asks for it. So each entry is moved to where the symbolic links
of the lower layers lead, and an entry that would replace one of another kind is a problem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, FILE, HARDLINK, SYMLINK, Entry
from rules_setcap.diagnostics.errors import quote

if TYPE_CHECKING:
    from collections.abc import Collection

    from rules_setcap.diagnostics.problems import Problems
    from rules_setcap.oci.merged_contents import MergedContents


def place_entries(
    entries: dict[str, Entry], lower: MergedContents, named: Collection[str], replaces: Collection[str], problems: Problems
) -> dict[str, Entry]:
    """Moves each entry to where the symbolic links of the lower layers lead.

    Args:
      entries: the entries by path.
      lower: the merged root filesystem of the lower layers.
      named: paths of directories that the target names. Other directories keep the attributes that they have in `lower`.
      replaces: paths of lower entries that an entry of another kind may replace.
      problems: the collector of problems.

    Returns:
      The entries by their new paths.
    """
    if not (lower.files or lower.directories or lower.links):
        return entries
    placed: dict[str, Entry] = {}
    blocking_files: dict[str, str] = {}  # Memoized results of _find_file_at_or_above().
    for path, original in entries.items():
        entry = original
        try:
            real = lower.resolve_parents(path)
            if entry.type == DIRECTORY and lower.get_type(real) == SYMLINK:
                real = lower.resolve_path(real)
            if entry.type == HARDLINK:
                entry = entry._replace(target=lower.resolve_parents(entry.target))
        except ValueError as error:
            problems.add(entry.attribute, path, str(error))
            real = path
        parent = real.rpartition("/")[0]
        if parent not in blocking_files:
            blocking_files[parent] = _find_file_at_or_above(parent, lower)
        if conflict := _find_conflict(path, real, entry, blocking_files[parent], lower, replaces):
            problems.add(entry.attribute, path, conflict)
        if entry.type == DIRECTORY and path not in named and (known := lower.directories.get(real)):
            entry = entry._replace(mode=known.mode, uid=known.uid, gid=known.gid, xattrs=known.xattrs)
        if real != path:
            entry = entry._replace(path=real)
        other = placed.setdefault(real, entry)
        if other is not entry and other[:-1] != entry[:-1]:
            what = (
                f"leads to {quote(real)} through the links of the layers below, which {other.attribute} names as well; keep one"
            )
            problems.add(entry.attribute, path, what)
    return placed


def describe_kind(entry: Entry) -> str:
    """Describes the kind of an entry for a message."""
    return {DIRECTORY: "a directory", SYMLINK: f"a symbolic link to {quote(entry.target)}"}.get(entry.type, "a file")


def _find_conflict(
    path: str, real: str, entry: Entry, blocking_file: str, lower: MergedContents, replaces: Collection[str]
) -> str:
    """Returns why an entry cannot be placed over the lower layers; "" if it can.

    Args:
      path: the path of the entry, as the user wrote it.
      real: the path to which it leads.
      entry: the entry.
      blocking_file: the path of a lower file where the entry needs a directory; "" if there is none.
      lower: the merged root filesystem of the lower layers.
      replaces: paths of lower entries that an entry of another kind may replace.
    """
    if blocking_file:
        return f"{quote(blocking_file)} is a file in a layer below, and cannot hold an entry"
    lower_kind = lower.get_type(real)
    kind = entry.type if entry.type in (DIRECTORY, SYMLINK) else FILE
    if lower_kind in ("", kind) or path in replaces or real in replaces:
        return ""
    where = f" at {quote(real)}" if real != path else ""
    remedy = _suggest_remedy(real, lower_kind, lower)
    return f"would replace {lower.describe_entry(real)} of a layer below by {describe_kind(entry)}{where}; {remedy}"


def _suggest_remedy(path: str, lower_kind: str, lower: MergedContents) -> str:
    """Returns what to write in place of a path that would replace an entry of another kind."""
    allow = f"to replace it, add {quote(path)} to replaces"
    if lower_kind == SYMLINK:
        try:
            return f"write {quote(lower.resolve_path(path))} for the file that it leads to; {allow}"
        except ValueError:
            pass  # The links lead in a circle.
    return f"choose another path; {allow}"


def _find_file_at_or_above(path: str, lower: MergedContents) -> str:
    """Returns the path of the lower file that is at `path` or at one of its parents; "" if there is none."""
    while path and path not in lower.files:
        path = path.rpartition("/")[0]
    return path


def copy_attributes_to_hard_links(entries: dict[str, Entry], problems: Problems) -> None:
    """Copies mode, owner and extended attributes of files to their hard links.

    Unpackers apply the header of a hard link to the file that it shares.

    Args:
      entries: the entries by path; they are changed.
      problems: the collector of problems.
    """
    for path, entry in entries.items():
        if entry.type == HARDLINK:
            target = entries.get(entry.target)
            if target is None or target.type != FILE:
                what = f"hard link to {quote(entry.target)}, which is not a file of this layer"
                problems.add(entry.attribute, path, what)
            else:
                entries[path] = entry._replace(mode=target.mode, uid=target.uid, gid=target.gid, xattrs=target.xattrs)
