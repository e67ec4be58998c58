"""Collects changes up to a limit, and counts those beyond it and those that the user ignores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics import limits
from rules_setcap.diff.model import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from rules_setcap.diff.model import Change


class ChangeFilter:
    """What all collectors of one comparison share: the kinds to ignore, and how many changes may be kept.

    Attributes:
      kinds: the kinds that the user ignores.
    """

    def __init__(self, kinds: Collection[str] = ()) -> None:
        """Creates a filter that ignores some kinds."""
        self.kinds = frozenset(kinds)
        self._ignored: dict[str, int] = {}
        self._left = limits.CHANGES

    def ignores(self, kind: str, count: int = 1) -> bool:
        """Returns whether a kind is ignored, and counts the change if it is."""
        if kind not in self.kinds:
            return False
        self._ignored[kind] = self._ignored.get(kind, 0) + count
        return True

    def take_place(self) -> bool:
        """Returns whether one more change may be kept."""
        self._left -= 1
        return self._left >= 0

    def list_ignored(self) -> dict[str, int]:
        """Returns the number of ignored changes by kind, in the order of KINDS."""
        return {kind: self._ignored[kind] for kind in KINDS if kind in self._ignored}


class ChangeSink:
    """The changes of one layer.

    Attributes:
      changes: the changes that are kept.
      omitted: the number of other changes by kind.
      count: the number of all changes, also ignored ones.
    """

    def __init__(self, change_filter: ChangeFilter) -> None:
        """Starts without changes."""
        self._filter = change_filter
        self.changes: list[Change] = []
        self.omitted: dict[str, int] = {}
        self.count = 0

    def add(self, change: Change) -> int | None:
        """Adds a change; returns its position in `changes`, None if it is not kept."""
        self.count += 1
        if self._filter.ignores(change.kind):
            return None
        if not self._filter.take_place():
            self.omitted[change.kind] = self.omitted.get(change.kind, 0) + 1
            return None
        self.changes.append(change)
        return len(self.changes) - 1

    def extend(self, changes: Iterable[Change]) -> None:
        """Adds changes."""
        for change in changes:
            self.add(change)
