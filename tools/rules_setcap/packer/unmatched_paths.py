"""Messages for paths of attributes that match nothing, with the path that was probably meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.archive.entry import FILE, Entry
from rules_setcap.diagnostics.suggestions import suggest_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def describe_unmatched_entry(path: str, entries: Mapping[str, Entry]) -> str:
    """Returns the message for a path that matches no entry of a layer.

    Args:
      path: the path, as the user wrote it.
      entries: the entries by path.
    """
    files = [name for name, entry in entries.items() if entry.type == FILE]
    return "no entry of this layer has this path" + suggest_path(path, files)


def describe_unmatched_file(path: str, files: Iterable[str]) -> str:
    """Returns the message for a path that is neither in the binary's layer nor in a lower layer.

    Args:
      path: the path, as the user wrote it.
      files: the paths of the files of the lower layers.
    """
    # These are many, so only a path that is very similar is probably meant.
    return "neither the binary's layer nor the layers below have this path" + suggest_path(path, files, 0.8)
