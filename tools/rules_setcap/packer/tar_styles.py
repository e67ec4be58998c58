"""Tar styles: how the names of a layer's entries are written, and in which order the entries are."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, HARDLINK, MODES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rules_setcap.archive.entry import Entry

TarStyle = namedtuple("TarStyle", ("entry_name", "sort_key", "directory_mode"))
"""A tar style. entry_name: function from an entry to its name in the tar, bytes; sort_key: function from an entry to what
entries are sorted by; directory_mode: int, the permissions of directories that the target sets none for."""


def sort_entries(entries: Iterable[Entry], style: TarStyle) -> list[Entry]:
    """Returns the entries in the order that they have in a layer: hard links come last, after the files that they link to."""
    ordered = sorted(entries, key=style.sort_key)
    if links := [entry for entry in ordered if entry.type == HARDLINK]:
        return [entry for entry in ordered if entry.type != HARDLINK] + links
    return ordered


def set_directory_mode(entries: dict[str, Entry], mode: int) -> None:
    """Gives directories that have the default permissions those of a tar style."""
    if mode == MODES[DIRECTORY]:
        return
    for path, entry in entries.items():
        if entry.type == DIRECTORY and entry.mode == MODES[DIRECTORY]:
            entries[path] = entry._replace(mode=mode)


def _name_plain(entry: Entry) -> bytes:
    """Returns the name of an entry as Docker and BuildKit write it: without the leading slash; directories end with a slash."""
    name: bytes = entry.path[1:].encode()
    return name + b"/" if entry.type == DIRECTORY else name


def _end_directory_with_slash(entry: Entry) -> str:
    """Returns the path of an entry; that of a directory ends with a slash, so that it is before its contents.

    Sorted by them, entries have the order of their plain names, because the order of UTF-8 is that of code points.
    """
    path: str = entry.path
    return path + "/" if entry.type == DIRECTORY else path


def _name_as_ko(entry: Entry) -> bytes:
    """Returns the name of an entry as ko writes it: with the leading slash, except for the directory of the binary.

    Directories do not end with a slash.
    """
    return (entry.path if entry.path != "/ko-app" else "ko-app").encode()


def _split_path(entry: Entry) -> list[bytes]:
    """Returns the components of a path. Sorted by them, entries have the order of a walk through sorted directories."""
    names: list[bytes] = entry.path.encode().split(b"/")
    return names


TAR_STYLES = {
    "ko": TarStyle(_name_as_ko, _split_path, 0o555),
    "plain": TarStyle(_name_plain, _end_directory_with_slash, 0o755),
}
"""The tar styles by name. With `ko`, a layer has the diff_id that ko gives to the same files (tarBinary and tarKoData of
ko's pkg/build)."""
