"""Compares the contents of files while both layers are read, and copies those that differ for a closer look."""

from __future__ import annotations

import io
import os
import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import limits, progress
from rules_setcap.diff.content import compare_contents
from rules_setcap.diff.entries import list_privileges
from rules_setcap.diff.model import Change

if TYPE_CHECKING:
    from typing import BinaryIO

    from rules_setcap.archive.reader import Member, TarReader
    from rules_setcap.diff.sink import ChangeSink
    from rules_setcap.diff.sources import SourceLayer

_IN_MEMORY = 4 << 20  # Bytes of a file that is compared in memory.


@dataclass(frozen=True, slots=True)
class _Postponed:
    """A file whose contents differ, and of which at least one has been read already.

    Attributes:
      position: the position of its change in the sink.
      numbers: the positions of the entries in their layers.
      sizes: the sizes of the contents in bytes.
    """

    position: int
    numbers: tuple[int, int]
    sizes: tuple[int, int]


class ContentComparer:
    """Finds files whose contents differ, and describes the differences.

    Small files are described at once, also files of different sizes. Of others the part that is equal has been read when the
    difference is found; they are described by describe_postponed(), which reads the layers again.
    """

    def __init__(self, sink: ChangeSink, *, describes: bool) -> None:
        """Starts without files.

        Args:
          sink: gets the changes.
          describes: whether differences are described; if not, it is only found out whether there is one.
        """
        self._sink, self._describes = sink, describes
        self._files_left = limits.DESCRIBED_FILES
        self._bytes_left = limits.DESCRIBED_BYTES
        self._postponed: list[_Postponed] = []

    def compare(
        self, archives: tuple[TarReader, TarReader], members: tuple[Member, Member], numbers: tuple[int, int]
    ) -> tuple[bool, bool]:
        """Compares the contents of the current entries of both layers, which are files with the same path.

        Args:
          archives: the layers.
          members: the entries.
          numbers: the positions of the entries in their layers.

        Returns:
          Whether the contents differ, and whether the padding after equal contents differs.
        """
        before, after = members
        if before.sparse or after.sparse or before.size != after.size or max(before.size, after.size) > _IN_MEMORY:
            if before.size != after.size:
                self._compare_other_sizes(archives, members, numbers)
                return True, False
            differs, padding_differs = _compare_pieces(archives, before.size)
            if differs or before.sparse != after.sparse:
                self.postpone(members, numbers)
                return True, False
            return False, padding_differs
        left, right = (b"".join(archive.read_content()) for archive in archives)
        if left == right:
            return False, False
        if left[: before.size] == right[: after.size]:
            return False, True
        if self._can_describe(members):
            self._describe(members, io.BytesIO(left[: before.size]), io.BytesIO(right[: after.size]))
        else:
            self._add_change(members)
        return True, False

    def _compare_other_sizes(
        self, archives: tuple[TarReader, TarReader], members: tuple[Member, Member], numbers: tuple[int, int]
    ) -> None:
        """Describes the difference between files of different sizes, of which no byte has been read."""
        if not self._can_describe(members):
            self._add_change(members)
            return
        with _open_copy() as left, _open_copy() as right:
            _copy_content(archives[0], members[0].size, left)
            _copy_content(archives[1], members[1].size, right)
            self._describe(members, left, right)

    def postpone(self, members: tuple[Member, Member], numbers: tuple[int, int]) -> None:
        """Adds the change of a file whose contents differ, to be described by describe_postponed()."""
        position = self._add_change(members)
        if position is not None and self._can_describe(members):
            self._postponed.append(_Postponed(position, numbers, (members[0].size, members[1].size)))

    def describe_postponed(self, before: SourceLayer, after: SourceLayer) -> None:
        """Describes the differences that have not been described yet.

        Args:
          before: the first layer.
          after: the second layer.
        """
        if not self._postponed:
            return
        progress.begin_step(f"contents of layer {after.side.number}", before.side.size + after.side.size)
        by_first = {file.numbers[0]: file for file in self._postponed}
        by_second = {file.numbers[1]: file for file in self._postponed}
        with tempfile.TemporaryDirectory(prefix="image_diff-") as directory:
            with before.open() as archive:
                for number, _ in enumerate(archive):
                    if file := by_first.get(number):
                        with open(os.path.join(directory, str(file.position)), "wb") as copy:
                            _copy_content(archive, file.sizes[0], copy)
            with after.open() as archive:
                for number, _ in enumerate(archive):
                    if file := by_second.get(number):
                        path = os.path.join(directory, str(file.position))
                        with open(path, "rb") as left, _open_copy() as right:
                            _copy_content(archive, file.sizes[1], right)
                            change = self._sink.changes[file.position]
                            content = compare_contents(change.path, left, right)
                            self._sink.changes[file.position] = replace(change, content=content)
                        os.unlink(path)

    def _can_describe(self, members: tuple[Member, Member]) -> bool:
        """Returns whether the difference between two files is to be described, and counts the files if it is."""
        size = members[0].size + members[1].size
        if not self._describes or members[0].sparse or members[1].sparse:
            return False
        if not self._files_left or size > self._bytes_left:
            return False
        self._files_left -= 1
        self._bytes_left -= size
        return True

    def _describe(self, members: tuple[Member, Member], left: BinaryIO, right: BinaryIO) -> None:
        """Adds the change of a file, with a description."""
        position = self._add_change(members)
        if position is not None:
            left.seek(0)
            right.seek(0)
            change = self._sink.changes[position]
            content = compare_contents(change.path, left, right)
            self._sink.changes[position] = replace(change, content=content)

    def _add_change(self, members: tuple[Member, Member]) -> int | None:
        """Adds the change of a file without a description; returns its position in the sink."""
        before, after = members
        details = []
        for member, which in ((before, "first"), (after, "second")):
            if member.sparse:
                details.append(f"a sparse file in the {which} layer; the size is that of the stored pieces")
        details += [f"the file has {privilege}" for privilege in list_privileges(after)]
        sizes = f"{before.size} bytes", f"{after.size} bytes"
        return self._sink.add(Change("content", after.path, "", *sizes, details=tuple(details)))


def _compare_pieces(archives: tuple[TarReader, TarReader], size: int) -> tuple[bool, bool]:
    """Compares the contents of two entries of the same size piece by piece.

    Returns:
      Whether the contents differ, and whether only the padding differs.
    """
    left_pieces, right_pieces = (archive.read_content() for archive in archives)
    left = right = b""
    done = 0
    while True:
        left = left or next(left_pieces, b"")
        right = right or next(right_pieces, b"")
        common = min(len(left), len(right))
        if not common:
            return False, False
        if left[:common] != right[:common]:
            return done < size, done >= size
        done += common
        left, right = left[common:], right[common:]


def _open_copy() -> BinaryIO:
    """Returns a temporary file, which is deleted when it is closed."""
    return tempfile.TemporaryFile(prefix="image_diff-")


def _copy_content(archive: TarReader, size: int, copy: BinaryIO) -> None:
    """Copies the content of the current entry of a layer to a file, and goes to its start."""
    for piece in archive.read_content():
        copy.write(piece[:size])
        size -= min(size, len(piece))
    copy.seek(0)
