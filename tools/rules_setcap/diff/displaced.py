"""Entries that have been read from one layer and wait for the entry with the same path of the other layer."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.archive.entry import FILE
from rules_setcap.archive.reader import TarError, TarReader
from rules_setcap.diagnostics import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_setcap.archive.reader import Member

_ENTRY_MEMORY = 500
"""Bytes of memory of a waiting entry, without its path and its headers: an estimate."""


class DisplacedEntry(NamedTuple):
    """An entry that waits.

    Attributes:
      number: its position in its layer, from 0.
      headers: its headers, compressed.
      digest: the digest of its content; b"" if it is not a file.
    """

    number: int
    headers: bytes
    digest: bytes

    def parse(self) -> Member:
        """Returns the entry."""
        return next(iter(TarReader(io.BytesIO(zlib.decompress(self.headers)))))


class DisplacedEntries:
    """The waiting entries of one layer, by path."""

    def __init__(self) -> None:
        """Starts without entries."""
        # A deque takes more memory than an entry, and few paths are there twice.
        self._by_path: dict[str, DisplacedEntry | deque[DisplacedEntry]] = {}
        self._memory = 0

    def __contains__(self, path: str) -> bool:
        return path in self._by_path

    def add(self, number: int, member: Member, archive: TarReader) -> None:
        """Adds an entry, and reads its content.

        Args:
          number: its position in its layer.
          member: the entry.
          archive: the layer, whose current entry it is.

        Raises:
          TarError: the waiting entries take too much memory (limits.DISPLACED).
        """
        headers = member.before + member.extended + member.between + member.header
        hashed = hashlib.sha256()
        left = member.size
        for position, piece in enumerate(archive.read_content()):
            content = piece[:left]
            left -= len(content)
            hashed.update(content)
            if member.sparse and not position:
                headers += content  # It has the map of a sparse file, which the parser reads.
        compressed = zlib.compress(headers, 1)
        self._memory += len(compressed) + len(member.path) + _ENTRY_MEMORY
        if self._memory > limits.DISPLACED:
            raise TarError(
                f"its entries are in another order than those of the other layer, and there are too many to compare (limit "
                f"DISPLACED: {limits.DISPLACED >> 20} MiB)"
            )
        entry = DisplacedEntry(number, compressed, hashed.digest() if member.type == FILE else b"")
        present = self._by_path.setdefault(member.path, entry)
        if isinstance(present, deque):
            present.append(entry)
        elif present is not entry:
            self._by_path[member.path] = deque((present, entry))

    def pop(self, path: str) -> DisplacedEntry:
        """Removes and returns the first entry with a path."""
        present = self._by_path[path]
        entry = present.popleft() if isinstance(present, deque) else present
        if not isinstance(present, deque) or not present:
            del self._by_path[path]
        self._memory -= len(entry.headers) + len(path) + _ENTRY_MEMORY
        return entry

    def list_rest(self) -> Iterator[tuple[str, DisplacedEntry]]:
        """Yields the path and the entry of all that wait, in the order of the layer."""
        rest: list[tuple[str, DisplacedEntry]] = []
        for path, present in self._by_path.items():
            rest += ((path, entry) for entry in (present if isinstance(present, deque) else (present,)))
        yield from sorted(rest, key=lambda item: item[1].number)
