"""Compares the members of two archives: which were added or removed, their order, their headers and their contents."""

from __future__ import annotations

import abc
import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import escape
from rules_setcap.diff.content.data import are_equal, compare_streams, describe_ranges
from rules_setcap.diff.content.files import CountedStream, copy_stream
from rules_setcap.diff.content.findings import Context, Findings, count, cut
from rules_setcap.diff.model import ContentDifference

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 5  # Names in a line.
_OPENED = 8  # Members whose contents are compared by what they are.
TIMES = ("time", "extended time")
"""The fields that are times."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive.

    Attributes:
      name: its name; bytes that are not UTF-8 are surrogates, as os.fsdecode() returns them.
      fields: the values of its header, in the order of Archive.field_names.
      size: the number of bytes of its content.
      place: where its content is, for the archive.
    """

    name: str
    fields: tuple[Any, ...]
    size: int
    place: Any


class Archive(abc.ABC):
    """An archive that was read.

    Attributes:
      field_names: the names of the fields of a member's header.
      members: the members in their order.
    """

    field_names: ClassVar[tuple[str, ...]]
    members: list[Member]

    @abc.abstractmethod
    def format_field(self, name: str, value: Any) -> str:
        """Returns the value of a field as text."""

    @abc.abstractmethod
    def open_member(self, member: Member) -> Any:
        """Returns an object with read(size) for the content of a member.

        Raises:
          ContentError: the content cannot be read.
        """

    def stored_equally(self, member: Member, other: Archive, other_member: Member) -> bool | None:
        """Returns whether two contents are equal, as far as that can be said without reading them; else None."""
        return None if member.size == other_member.size else False


def compare_members(findings: Findings, before: Archive, after: Archive, context: Context) -> None:
    """Adds the differences of the members of two archives."""
    pairs, removed, added = _pair_members(before.members, after.members)
    changed = _compare_contents(findings, pairs, (before, after), context)
    for word, members in (("removed", removed), ("added", added)):
        if members:
            findings.add(f"{count(len(members), 'member')} {word}", f"{word}: {_list_names(members)}")
    if changed:
        findings.add(f"content of {count(len(changed), 'member')}: {_list_names(changed)}")
    _compare_order(findings, pairs, after.members)
    _compare_fields(findings, pairs, (before, after))


def _pair_members(
    before: Sequence[Member], after: Sequence[Member]
) -> tuple[list[tuple[Member, Member]], list[Member], list[Member]]:
    """Pairs members by name: the first of a name with the first, and so on.

    Returns:
      The pairs in the order of `before`, the members of `before` that have none, and those of `after`.
    """
    by_name: dict[str, list[Member]] = {}
    for member in reversed(after):
        by_name.setdefault(member.name, []).append(member)
    pairs, removed = [], []
    for member in before:
        others = by_name.get(member.name)
        if others:
            pairs.append((member, others.pop()))
        else:
            removed.append(member)
    left = {id(member) for others in by_name.values() for member in others}
    return pairs, removed, [member for member in after if id(member) in left]


def _compare_contents(
    findings: Findings, pairs: list[tuple[Member, Member]], archives: tuple[Archive, Archive], context: Context
) -> list[Member]:
    """Compares the contents of pairs, and returns the members of the first archive whose contents differ.

    Raises:
      ContentError: a member cannot be read, or there is too much to read.
    """
    changed = []
    before, after = archives
    for old, new in pairs:
        equal = before.stored_equally(old, after, new)
        if equal is None:
            equal = are_equal(*(_open(archive, member, context) for archive, member in zip(archives, (old, new), strict=True)))
        if not equal:
            changed.append(old)
            if len(changed) <= _OPENED:
                findings.add_member(format_name(old.name), _compare_pair(old, new, archives, context))
    return changed


def _compare_pair(old: Member, new: Member, archives: tuple[Archive, Archive], context: Context) -> ContentDifference:
    """Compares two contents that differ by what they are; large ones byte by byte."""
    before, after = archives
    if context.depth > 0 and max(old.size, new.size) <= limits.CONTENT_MEMBER:
        with copy_stream(_open(before, old, context)) as old_file, copy_stream(_open(after, new, context)) as new_file:
            if old_file and new_file:
                return context.compare_inside(old.name, old_file, new_file)
    ranges = compare_streams(_open(before, old, context), _open(after, new, context))
    return ContentDifference("data", describe_ranges(ranges))


def _open(archive: Archive, member: Member, context: Context) -> CountedStream:
    return CountedStream(archive.open_member(member), context.budget)


def _compare_order(findings: Findings, pairs: list[tuple[Member, Member]], after: Sequence[Member]) -> None:
    """Adds a difference if the members that both archives have are in another order."""
    places = {id(member): at for at, member in enumerate(after)}
    order = [places[id(new)] for _, new in pairs]
    at = next((at for at in range(1, len(order)) if order[at] < order[at - 1]), 0)
    if not at:
        return
    kept: list[int] = []  # The smallest ends of ascending sequences, by length: the longest is what did not move.
    for place in order:
        index = bisect.bisect_left(kept, place)
        kept[index : index + 1] = [place]
    first, second = (format_name(pairs[index][0].name) for index in (at - 1, at))
    findings.add("order of members", f"order: {first} is before {second} in the first file, and after it in the second")
    findings.add_causes([f"order of members: {count(len(order) - len(kept), 'member')} of {len(order):,} moved"])


def _compare_fields(findings: Findings, pairs: list[tuple[Member, Member]], archives: tuple[Archive, Archive]) -> None:
    """Adds the fields of headers that differ: for each field the number of members, and the first of them."""
    before, after = archives
    for at, name in enumerate(before.field_names):
        changed = [(old, new) for old, new in pairs if old.fields[at] != new.fields[at]]
        if not changed:
            continue
        old, new = changed[0]
        values = f"{before.format_field(name, old.fields[at])} -> {after.format_field(name, new.fields[at])}"
        members = f"all {len(pairs):,} members" if len(changed) == len(pairs) > 1 else count(len(changed), "member")
        which = f" of {format_name(old.name)}" if len(changed) == 1 else f" of {members}; of {format_name(old.name)}"
        findings.add(f"{name} of {members}", f"{name}{which}: {values}")
        if name in TIMES:
            findings.add_causes([f"timestamp: {name} of {members}, such as {values}"])


def _list_names(members: Sequence[Member]) -> str:
    """Returns the names of members, at most _SHOWN."""
    names = ", ".join(format_name(member.name) for member in members[:_SHOWN])
    return names + (f" and {len(members) - _SHOWN:,} more" if len(members) > _SHOWN else "")


def format_name(name: str) -> str:
    """Returns the name of a member as printable text of a bounded length."""
    return cut(escape(name[: 2 * limits.PATH]), 100)
