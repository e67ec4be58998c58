"""Groups changes for the reports that people read, and writes their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rules_setcap.diff.model import CapabilityChange, Change

NONE = "none"
"""The word for a value that there is not."""
ONE_SIDED = ("entries", "layers", "index")
"""The kinds of changes that add or remove something."""
_ALONE = ("content", "entries", "order", "layers", "compression")  # The kinds of changes of which each is shown by itself.


def group_changes(changes: Iterable[Change], kind: str) -> list[list[Change]]:
    """Returns the changes of a kind. Those that differ only in their paths are in one group."""
    groups: dict[tuple[object, ...], list[Change]] = {}
    for change in changes:
        if change.kind == kind:
            key = (id(change),) if kind in _ALONE else (change.field, change.before, change.after, change.details)
            groups.setdefault(key, []).append(change)
    return list(groups.values())


def find_sign(change: Change) -> str:
    """Returns "+" or "-" for something that was added or removed; "" for other changes."""
    if change.kind in ONE_SIDED and (change.before is None) != (change.after is None):
        return "-" if change.after is None else "+"
    return ""


def format_values(change: Change) -> str:
    """Returns the value of a change before and after it, in printable text."""
    if change.content:
        return printable(f"{change.content.type}: {change.content.summary}")
    before, after = change.before, change.after
    if before is None and after is None:
        return ""
    if find_sign(change):
        return printable(before or after or "")
    return f"{NONE if before is None else printable(before)} -> {NONE if after is None else printable(after)}"


def list_details(change: Change) -> list[str]:
    """Returns the lines about a change, in printable text."""
    details = list(change.details)
    if change.content:
        details += [*change.content.details, *(f"probably: {cause}" for cause in change.content.causes)]
    return [printable(detail) for detail in details]


def format_capabilities(change: CapabilityChange) -> tuple[str, str]:
    """Returns the capabilities of a file before and after a change, in printable text."""
    before = change.before or (NONE if change.in_before else "no such file")
    after = change.after or (NONE if change.in_after else "no such file")
    return printable(before), printable(after)
