"""Counts the work and the memory that reading an input takes, and refuses what is out of proportion to its size."""

from __future__ import annotations

from rules_setcap.archive.reader import ArchiveError
from rules_setcap.diagnostics import limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.archive.reader import Member


class WorkError(ArchiveError):
    """An input that takes more work, or memory, than its size allows; the message is a sentence."""


class Work:
    """The work and the memory that one input may take: a free amount, and more for each byte of it.

    A ratio of compression alone is no sign of an attack: a sparse file of 64 GiB is 2 MiB of zstd and is read in
    seconds. What must be bounded is the time, which an archive within an archive, a layer that a manifest names a
    thousand times, or a codec with an unlimited ratio can make as long as they like. Time differs from run to run, so
    work is counted in bytes, by the prices in limits.py.
    """

    def __init__(self, size: int | None = None, *, copies: bool = False, blobs: bool = False) -> None:
        """
        Args:
          size: bytes of the input; None if each byte of it counts when it is read.
          copies: whether what is read is hashed and written, and not only passed over.
          blobs: whether the input is a layout, whose blobs add_blob() counts in place of `size`.
        """
        self._blobs: set[str] | None = set() if blobs else None
        size = 0 if blobs else size
        self._per_byte = limits.WORK_PER_BYTE if size is None else 0
        self._copies = copies
        self._memory_per_byte = limits.MEMORY_PER_BYTE if size is None else 0
        self._left = limits.WORK_FREE + limits.WORK_PER_BYTE * (size or 0)
        self._memory_left = limits.MEMORY_FREE + limits.MEMORY_PER_BYTE * (size or 0)
        self._folder = ""  # Of the last entry.

    def price(self, codec: str) -> int:
        """Returns the work of one byte of a codec, for spend()."""
        if codec == "zstd":
            return limits.WORK_COPIED if self._copies else 1
        return 1 if codec == "none" else limits.WORK_DECODED

    def add_blob(self, digest: str, size: int) -> None:
        """Allows the work of a blob of a layout, once, however often it is read."""
        if self._blobs is not None and digest not in self._blobs:
            self._blobs.add(digest)
            self._left += limits.WORK_PER_BYTE * size
            self._memory_left += limits.MEMORY_PER_BYTE * size

    def add_input(self, size: int) -> None:
        """Allows the work of `size` more bytes of input, unless the size was given."""
        self._left += self._per_byte * size
        self._memory_left += self._memory_per_byte * size

    def spend(self, size: int, price: int) -> None:
        """Counts one read.

        Args:
          size: decompressed bytes.
          price: from price().

        Raises:
          WorkError: it is more work than the input allows.
        """
        self._left -= limits.WORK_READ + price * size
        if self._left < 0:
            raise WorkError(
                f"reading it takes too much work for its size (limit WORK_FREE: {limits.WORK_FREE >> 30} GiB and "
                f"{limits.WORK_PER_BYTE >> 10} KiB for each byte of input; a read counts {limits.WORK_READ >> 10} KiB, a byte {price})"
            )

    def keep(self, size: int) -> None:
        """Counts memory.

        Args:
          size: bytes, an estimate.

        Raises:
          WorkError: it is more memory than the input allows.
        """
        self._memory_left -= size
        if self._memory_left < 0:
            raise WorkError(
                f"its names and attributes take too much memory for its size (limit MEMORY_FREE: {limits.MEMORY_FREE >> 20} MiB and "
                f"{limits.MEMORY_PER_BYTE} bytes for each byte of input)"
            )

    def keep_member(self, member: Member) -> None:
        """Counts the memory of an entry in a merged root filesystem, with the directories that it implies.

        Archives list directories one after the other, so those that the entry before did not imply count as new.

        Raises:
          WorkError: it is more memory than the input allows.
        """
        folder, _, name = member.path.rpartition("/")
        nodes, size = 1, len(name) + len(member.link)
        if folder != self._folder:
            old, new = self._folder.split("/"), folder.split("/")
            same = next((at for at, (one, other) in enumerate(zip(old, new)) if one != other), min(len(old), len(new)))
            nodes += len(new) - same
            size += sum(map(len, new[same:]))
            self._folder = folder
        self.keep(nodes * limits.MEMORY_NODE + size)
