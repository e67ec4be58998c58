"""Limits the work and the memory that reading an input takes, in proportion to the size of the input.

Three budgets bound hostile input. They count different things, so they are three classes:

- ReadBudget, here: work (decompressed bytes, at a price for each codec) and memory of reading archives and layers.
- strict_json.JsonBudget: bytes and values of the JSON documents of an image archive or a layout.
- oci.nodes.FilesystemBudget: files, bytes of paths and path lookups of a merged root filesystem.
"""

from __future__ import annotations

from rules_setcap.archive.headers import TarError
from rules_setcap.diagnostics import limits


class BudgetError(TarError):
    """An input that takes more work or memory than its size allows; the message is a sentence."""


class ReadBudget:
    """The work and the memory that reading one input may take: a free amount, and more for each byte of the input.

    A high compression ratio alone does not mean an attack: a sparse file of 64 GiB is 2 MiB of zstd and is read in seconds.
    The time must be bounded, because an archive within an archive, a layer that a manifest names a thousand times, or a codec
    with an unlimited ratio could make it arbitrarily long. Time differs from run to run, so the budget counts bytes, at the
    prices in limits.py.
    """

    def __init__(self, size: int | None = None, *, copies: bool = False, blobs: bool = False) -> None:
        """Creates a budget.

        Args:
          size: bytes of the input; None if add_input() counts each byte when it is read.
          copies: whether the decompressed bytes are hashed and written, and not only skipped.
          blobs: whether the input is a layout, whose blobs add_blob() counts in place of `size`.
        """
        self._blobs: set[str] | None = set() if blobs else None
        size = 0 if blobs else size
        self._work_per_byte = limits.WORK_PER_BYTE if size is None else 0
        self._copies = copies
        self._memory_per_byte = limits.MEMORY_PER_BYTE if size is None else 0
        self._work_left = limits.WORK_FREE + limits.WORK_PER_BYTE * (size or 0)
        self._memory_left = limits.MEMORY_FREE + limits.MEMORY_PER_BYTE * (size or 0)
        self._last_directory = ""

    def find_price(self, codec: str) -> int:
        """Returns the work of one decompressed byte of a codec, for spend_work()."""
        if codec == "zstd":
            return limits.WORK_COPIED if self._copies else 1
        return 1 if codec == "none" else limits.WORK_DECODED

    def add_blob(self, digest: str, size: int) -> None:
        """Adds the work and memory that a blob of a layout allows, once for each digest, however often it is read."""
        if self._blobs is not None and digest not in self._blobs:
            self._blobs.add(digest)
            self._work_left += limits.WORK_PER_BYTE * size
            self._memory_left += limits.MEMORY_PER_BYTE * size

    def add_input(self, size: int) -> None:
        """Adds the work and memory that `size` bytes of input allow, unless the size of the input was given."""
        self._work_left += self._work_per_byte * size
        self._memory_left += self._memory_per_byte * size

    def spend_work(self, size: int, price: int) -> None:
        """Spends the work of one read.

        Args:
          size: the number of decompressed bytes.
          price: the work of each, from find_price().

        Raises:
          BudgetError: the input does not allow this work.
        """
        self._work_left -= limits.WORK_READ + price * size
        if self._work_left < 0:
            raise BudgetError(
                f"reading it takes too much work for its size (limit WORK_FREE: {limits.WORK_FREE >> 30} GiB and "
                f"{limits.WORK_PER_BYTE >> 10} KiB for each byte of input; a read counts {limits.WORK_READ >> 10} KiB, a byte {price})"
            )

    def spend_memory(self, size: int) -> None:
        """Spends memory that is kept.

        Args:
          size: bytes, an estimate.

        Raises:
          BudgetError: the input does not allow this memory.
        """
        self._memory_left -= size
        if self._memory_left < 0:
            raise BudgetError(
                f"its names and attributes take too much memory for its size (limit MEMORY_FREE: {limits.MEMORY_FREE >> 20} MiB and "
                f"{limits.MEMORY_PER_BYTE} bytes for each byte of input)"
            )

    def spend_path(self, path: str, link: str) -> None:
        """Spends the memory that a path takes in a merged root filesystem, with the directories that it implies.

        Archives list the entries of a directory one after the other, so directories that the path before does not imply
        count as new.

        Args:
          path: the absolute path of an entry.
          link: the target of a link, or "".

        Raises:
          BudgetError: the input does not allow this memory.
        """
        directory, _, name = path.rpartition("/")
        nodes, size = 1, len(name) + len(link)
        if directory != self._last_directory:
            old, new = self._last_directory.split("/"), directory.split("/")
            common = next(
                (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new))
            )
            nodes += len(new) - common
            size += sum(map(len, new[common:]))
            self._last_directory = directory
        self.spend_memory(nodes * limits.MEMORY_NODE + size)
