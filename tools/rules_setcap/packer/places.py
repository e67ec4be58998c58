"""Paths of the entries of a tar as the files that they become: symbolic links of the same tar are followed in their parents."""

from __future__ import annotations

from rules_setcap.archive.entry import DIRECTORY, SYMLINK
from rules_setcap.diagnostics import limits
from rules_setcap.oci import symlinks
from rules_setcap.oci.nodes import WHITEOUT, Budget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.archive.reader import Member


class Places:
    """The directories and symbolic links that a tar has so far."""

    def __init__(self, size: int) -> None:
        """
        Args:
          size: bytes of the tar as it is stored.
        """
        self._links: dict[str, str] = {}
        self._parents: set[str] = set()  # Paths below which there are entries.
        self._folders: dict[str, str] = {}  # Memoized results of _resolve().
        self._budget = Budget()
        self._budget.extend(size)

    def locate(self, path: str) -> str:
        """Returns `path` with the symbolic links in its parent directories followed.

        Raises:
          ArchiveError: there are more than `limits.LINKS` links on the way.
        """
        if not self._links:
            return path
        folder, _, name = path.rpartition("/")
        real = self._folders.get(folder)
        if real is None:
            if len(self._folders) > limits.PATH:
                self._folders.clear()
            real = self._folders[folder] = self._resolve(folder)
        return f"{real}/{name}"

    def add(self, member: Member, path: str) -> str:
        """Adds an entry.

        Args:
          member: the entry.
          path: from locate().

        Returns:
          What is wrong: a sentence, or "".
        """
        folder = path.rpartition("/")[0]
        while folder and folder not in self._parents:
            self._budget.add(folder)
            self._parents.add(folder)
            folder = folder.rpartition("/")[0]
        if member.type == DIRECTORY or path not in self._parents or path == "/" or f"/{WHITEOUT}" in path:
            if member.type == SYMLINK:
                self._links[path] = member.link
                self._folders.clear()
            return ""
        return "replaces a directory that has entries; unpackers remove them"

    def _resolve(self, folder: str) -> str:
        self._budget.step(folder.count("/") + 1)
        return symlinks.resolve(folder, self._links.get, self._budget.step)
