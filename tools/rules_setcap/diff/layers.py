"""Compares two layers, entry by entry, while both are read once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.archive.entry import DIRECTORY, FILE
from rules_setcap.archive.reader import TarError
from rules_setcap.archive.records import CAPABILITY_RECORD
from rules_setcap.archive.tar import BLOCK
from rules_setcap.diagnostics.errors import escape
from rules_setcap.diff.contents import ContentComparer
from rules_setcap.diff.displaced import DisplacedEntries
from rules_setcap.diff.entries import compare_entries, have_equal_headers, list_privileges, summarize_entry
from rules_setcap.diff.model import Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_setcap.archive.reader import Member, TarReader
    from rules_setcap.diff.displaced import DisplacedEntry
    from rules_setcap.diff.sink import ChangeSink
    from rules_setcap.diff.sources import SourceLayer

_MAX_MOVED = 5  # Moved entries that are named.
_NAMED = 8  # Entries of a layer that only one image has that are named.
_RECORD = 20 * BLOCK  # The bytes to which tar(1) pads an archive: 20 is its blocking factor.


class _Side:
    """One of the two layers while it is read.

    Attributes:
      archive: the layer.
      member: the entry that has been read and not compared yet; None at the end.
      number: its position, from 0.
      displaced: the entries that wait.
      last_match: the highest position of an entry that has been compared with one of the other layer.
      is_sorted: whether the entries so far are sorted by path.
      has_capabilities: whether an entry so far has capabilities.
    """

    def __init__(self, archive: TarReader) -> None:
        self.archive = archive
        self._members: Iterator[Member] = iter(archive)
        self.member: Member | None = None
        self.number = -1
        self.displaced = DisplacedEntries()
        self.last_match = -1
        self.is_sorted = True
        self.has_capabilities = False
        self._last_key: list[str] = []
        self.advance()

    def advance(self) -> None:
        """Reads the next entry."""
        self.member = next(self._members, None)
        self.number += 1
        if self.member is not None and self.is_sorted:
            key = self.member.path.split("/")
            self.is_sorted = self._last_key <= key
            self._last_key = key
        if self.member is not None and self.member.records and CAPABILITY_RECORD in self.member.records:
            self.has_capabilities = True

    def displace(self) -> None:
        """Lets the current entry wait, and reads the next one."""
        if self.member is not None:
            self.displaced.add(self.number, self.member, self.archive)
            self.advance()


class _Move(NamedTuple):
    """An entry that is in another place of the order."""

    path: str
    before: int
    after: int


class LayerComparison:
    """The comparison of two layers.

    Attributes:
      has_capabilities: whether an entry of either layer has capabilities; known when both have been read.
    """

    def __init__(self, archives: tuple[TarReader, TarReader], sink: ChangeSink, contents: ContentComparer) -> None:
        """Prepares the comparison.

        Args:
          archives: the layers.
          sink: gets the changes.
          contents: compares the contents of files.
        """
        self._archives, self._sink, self._contents = archives, sink, contents
        self.has_capabilities = False
        self._moves: list[_Move] = []
        self._move_count = 0

    def run(self) -> None:
        """Reads both layers and adds the changes to the sink.

        Raises:
          TarError: a layer is not valid, or takes too much memory.
        """
        left, right = _Side(self._archives[0]), _Side(self._archives[1])
        while left.member is not None or right.member is not None:
            before, after = left.member, right.member
            if before is not None and before.path in right.displaced:
                self._match_displaced(left, before, right)
                left.advance()
            elif after is not None and after.path in left.displaced:
                self._match_displaced(right, after, left, swapped=True)
                right.advance()
            elif before is not None and after is not None and before.path == after.path:
                self._compare((before, after), (left.number, right.number))
                left.last_match, right.last_match = left.number, right.number
                left.advance()
                right.advance()
            else:
                left.displace()
                right.displace()
        self.has_capabilities = left.has_capabilities or right.has_capabilities
        self._add_rest(left, right)
        self._add_moves(left, right)
        self._compare_ends()

    def _compare(self, members: tuple[Member, Member], numbers: tuple[int, int]) -> None:
        """Compares the current entries of both layers, which have the same path."""
        before, after = members
        differs = padding_differs = False
        if before.type == after.type == FILE and (before.size or after.size):
            differs, padding_differs = self._contents.compare(self._archives, members, numbers)
        if not have_equal_headers(before, after):
            self._sink.extend(compare_entries(before, after, content_differs=differs))
        if padding_differs:
            self._sink.add(Change("encoding", after.path, "padding after the content"))

    def _match_displaced(self, side: _Side, member: Member, other: _Side, *, swapped: bool = False) -> None:
        """Compares the current entry of a layer with an entry of the other layer that waits.

        Args:
          side: the layer of the current entry.
          member: the current entry.
          other: the layer of the entry that waits.
          swapped: whether `side` is the second layer.
        """
        waiting = other.displaced.pop(member.path)
        numbers = side.number, waiting.number
        if other.last_match > waiting.number:
            self._move_count += 1
            if len(self._moves) < _MAX_MOVED:
                self._moves.append(_Move(member.path, *(numbers[::-1] if swapped else numbers)))
        other.last_match = max(other.last_match, waiting.number)
        side.last_match = side.number
        partner = waiting.parse()
        differs = False
        if member.type == partner.type == FILE and (member.size != partner.size or _differ(waiting, member, side.archive)):
            differs = True
        members = (partner, member) if swapped else (member, partner)
        if differs:
            self._contents.postpone(members, numbers[::-1] if swapped else numbers)
        if not have_equal_headers(*members):
            self._sink.extend(compare_entries(*members, content_differs=differs))

    def _add_rest(self, left: _Side, right: _Side) -> None:
        """Adds the entries that only one layer has. A file that the other layer has by another path is named."""
        rests = [list(side.displaced.list_rest()) for side in (left, right)]
        paths_by_digest = [{entry.digest: path for path, entry in rest if entry.digest} for rest in rests]
        for number, rest in enumerate(rests):
            for path, entry in rest:
                member = entry.parse()
                details = summarize_entry(member)
                same = paths_by_digest[1 - number].get(entry.digest) if member.size else None
                if same is not None:
                    details += (f"has the content of {same}, which only the {('second', 'first')[number]} layer has",)
                summary, *details_left = details
                old, new = (summary, None) if number == 0 else (None, summary)
                self._sink.add(Change("entries", path, before=old, after=new, details=tuple(details_left)))

    def _add_moves(self, left: _Side, right: _Side) -> None:
        """Adds one change for all entries that are in another place of the order."""
        if not self._move_count:
            return
        old, new = ("sorted by path" if side.is_sorted else "not sorted" for side in (left, right))
        details = [f"{move.path}: entry {move.before + 1} -> {move.after + 1}" for move in self._moves]
        if self._move_count > len(self._moves):
            details.append(f"and {self._move_count - len(self._moves)} more")
        self._sink.add(Change("order", self._moves[0].path, before=old, after=new, details=tuple(details)))

    def _compare_ends(self) -> None:
        """Compares what follows the last entries."""
        left, right = (_ArchiveEnd(archive) for archive in self._archives)
        if not left.styles & right.styles:
            self._sink.add(Change("encoding", "", "end of the archive", left.description, right.description))


def _differ(waiting: DisplacedEntry, member: Member, archive: TarReader) -> bool:
    """Returns whether the current entry of a layer has another content than an entry that waits."""
    hashed, left = hashlib.sha256(), member.size
    for piece in archive.read_content():
        hashed.update(piece[:left])
        left -= min(left, len(piece))
    return hashed.digest() != waiting.digest


class _ArchiveEnd:
    """What follows the last entry of a layer.

    Attributes:
      description: a clause.
      styles: the styles of writers that end an archive like this: the number of bytes, or padding to a whole record. Two
        archives of different sizes with one style differ in nothing.
    """

    def __init__(self, archive: TarReader) -> None:
        size = 0
        try:
            for piece in archive.read_rest():
                size += len(piece)
        except TarError:
            self.description = f"{size} bytes of zeros, and then other bytes"
            self.styles = {self.description}
            return
        self.description = f"{size} bytes of zeros" if size else "no end-of-archive marker"
        self.styles = {self.description}
        if archive.offset % _RECORD == 0 and 2 * BLOCK <= size < _RECORD + 2 * BLOCK:
            self.description += f", to a multiple of {_RECORD}"
            self.styles.add("padded to a record")


def summarize_layer(layer: SourceLayer, archive: TarReader) -> tuple[Change, bool]:
    """Reads a layer that only one image has.

    Args:
      layer: the layer.
      archive: its entries.

    Returns:
      A change with the summary as `before`, and whether an entry has capabilities.
    """
    count, assigned, has_capabilities = 0, [], False
    paths: list[str] = []  # The first paths. Directories tell less than what is in them.
    for member in archive:
        count += 1
        if len(paths) < _NAMED and member.type != DIRECTORY:
            paths.append(member.path)
        has_capabilities |= bool(member.records) and CAPABILITY_RECORD in member.records
        if privileges := list_privileges(member):
            assigned.append(f"{member.path} has {', '.join(text.removeprefix('capabilities ') for text in privileges)}")
    details = [f"made by {layer.side.created_by}"] if layer.side.created_by else []
    shown = assigned[:100]
    if len(assigned) > len(shown):
        shown.append(f"and {len(assigned) - len(shown)} more files with privileges")
    if paths:
        more = f" and {count - len(paths)} more entries" if count > len(paths) else ""
        details.append(", ".join(map(escape, paths)) + more)
    entries = f"{count} {'entry' if count == 1 else 'entries'}"
    change = Change("layers", "", before=f"{entries}, {layer.side.size} bytes", details=(*details, *shown))
    return change, has_capabilities
