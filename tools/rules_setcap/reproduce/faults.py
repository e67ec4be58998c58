"""Finds the actions at fault: those that had equal inputs in both builds, and made other outputs.

The search begins with the files of an image that differ, and follows each back to the action that made it. If an input of that
action differs too, the search goes on with the input. So the actions that it ends at are the first ones in the order of the
graph, and what they made reaches the image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rules_setcap.reproduce.execution_log import Action, Item
    from rules_setcap.reproduce.log_comparison import LogComparison

EQUAL = "equal"
"""The reason of an action that had equal inputs, and executed the same command."""
COMMAND = "command"
"""The reason of an action that had equal inputs, but executed another command."""
MISSING = "missing"
"""The reason of an action that ran in the first build only."""
FILE = "file"
"""The reason of a file that differs and that no action in the log made."""


@dataclass(slots=True)
class Fault:
    """The place where two builds parted.

    Attributes:
      reason: EQUAL, COMMAND, MISSING or FILE.
      files: the paths of the files that it made differently, below the execution root.
      action: the action of the first build; None if the reason is FILE.
      partner: that of the second build; None if the reason is FILE or MISSING.
      readers: if the reason is FILE, the actions of the first build that read the file.
      images: the labels of the images that it reaches.
    """

    reason: str
    files: list[str]
    action: Action | None = None
    partner: Action | None = None
    readers: list[Action] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


def find_faults(comparison: LogComparison, images: Mapping[str, Sequence[str]]) -> list[Fault]:
    """Finds what made images differ.

    Args:
      comparison: the logs of both builds.
      images: the paths of the outputs of each image that differs, below the execution root, by its label.

    Returns:
      What reaches most images first; else in the order of the paths.
    """
    faults: dict[str, Fault] = {}
    for label, paths in images.items():
        for key, fault in _follow_back(comparison, paths).items():
            known = faults.setdefault(key, fault)
            known.images.append(label)
            known.readers += [reader for reader in fault.readers if reader not in known.readers]
    return sorted(faults.values(), key=lambda fault: (-len(fault.images), fault.files))


def _follow_back(comparison: LogComparison, paths: Sequence[str]) -> dict[str, Fault]:
    """Returns what made the files of one image differ, by the first path of each."""
    faults: dict[str, Fault] = {}
    stack: list[tuple[str, Action | None]] = [(path, None) for path in reversed(paths)]
    visited: set[tuple[str, int]] = set()
    while stack:
        path, reader = stack.pop()
        action = comparison.first.find_producer(path)
        key = ("", action.position) if action else (path, reader.position if reader else -1)
        if key in visited:
            continue
        visited.add(key)
        if not action:
            pieces = _list_pieces(comparison, path)
            stack += [(piece, reader) for piece in pieces]
            if not pieces:
                fault = faults.setdefault(path, Fault(FILE, [path]))
                fault.readers += [reader] if reader else []
            continue
        if action.link_target:
            stack.append((action.link_target, reader))
            continue
        partner = comparison.find_partner(action)
        if not partner:
            faults[path] = Fault(MISSING, [path], action)
        elif not comparison.has_equal_inputs(action, partner):
            stack += [(item.path, action) for item in reversed(comparison.list_differing_inputs(action, partner))]
        elif files := [
            file for item in comparison.list_differing_outputs(action) for file in comparison.list_differing_files(item)
        ]:
            reason = EQUAL if action.command == partner.command else COMMAND
            faults[files[0]] = Fault(reason, files, action, partner)
    return faults


def _list_pieces(comparison: LogComparison, path: str) -> list[str]:
    """Returns the differing files of a directory that several actions made together; [] if the path is not of such a directory."""
    directories: list[Item] = [item for item in comparison.first.items.get(path, ()) if item.files]
    if not directories:
        return []
    return [file for file in comparison.list_differing_files(directories[-1]) if comparison.first.producers.get(file)]
