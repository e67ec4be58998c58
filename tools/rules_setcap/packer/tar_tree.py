"""Follows the symbolic links of a tar, so that a path means the file that a container engine would unpack there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, SYMLINK
from rules_setcap.diagnostics import limits
from rules_setcap.oci import symlinks
from rules_setcap.oci.nodes import WHITEOUT, FilesystemBudget

if TYPE_CHECKING:
    from rules_setcap.archive.reader import Member


class TarTree:
    """The directories and symbolic links of the entries that have been read so far."""

    def __init__(self, size: int) -> None:
        """Creates an empty tree.

        Args:
        size: bytes of the tar as it is stored, by which the work is limited.
        """
        self._links: dict[str, str] = {}  # Targets of symbolic links, by path.
        self._parents: set[str] = set()  # Paths that have entries below them.
        self._resolved: dict[str, str] = {}  # Memoized results of _resolve().
        self._budget = FilesystemBudget()
        self._budget.extend(size)

    def locate(self, path: str) -> str:
        """Returns `path` with the symbolic links in its parent directories followed.

        Raises:
          TarError: there are more than `limits.LINKS` links on the way.
        """
        if not self._links:
            return path
        directory, _, name = path.rpartition("/")
        real = self._resolved.get(directory)
        if real is None:
            if len(self._resolved) > limits.PATH:
                self._resolved.clear()
            real = self._resolved[directory] = self._resolve(directory)
        return f"{real}/{name}"

    def add(self, member: Member, path: str) -> str:
        """Adds an entry.

        Args:
          member: the entry.
          path: its path, from locate().

        Returns:
          What is wrong with the entry; "" if nothing is.
        """
        parent = path.rpartition("/")[0]
        while parent and parent not in self._parents:
            self._budget.add_path(parent)
            self._parents.add(parent)
            parent = parent.rpartition("/")[0]
        if member.type == DIRECTORY or path not in self._parents or path == "/" or f"/{WHITEOUT}" in path:
            if member.type == SYMLINK:
                self._links[path] = member.link
                self._resolved.clear()
            return ""
        return "replaces a directory that has entries; unpackers remove them"

    def _resolve(self, directory: str) -> str:
        self._budget.add_steps(directory.count("/") + 1)
        return symlinks.resolve_links(directory, self._links.get, self._budget.add_steps)
