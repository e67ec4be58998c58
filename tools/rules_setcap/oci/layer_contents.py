"""Lists the entries of a layer for its metadata, so that later actions do not read the blob.

The list, `contents` in the metadata, is a JSON object:

    files        paths of files, devices and FIFOs, sorted
    directories  path -> [mode, uid, gid]
    links        path -> target of the symbolic link
    parents      directories that exist because something is below them, and not because a target names them
    xattrs       path of a directory -> name -> value in hex
    hidden       paths that the layer deletes from the layers below (whiteouts)
    opaque       directories in which the layer hides the content of the layers below (opaque whiteouts)
    scripts      path -> first line of a script without "#!"
    loaders      path -> PT_INTERP of a dynamically linked program

The first three keys are always there, the others if they are not empty. Paths that are not UTF-8 are left out, because no
attribute can name them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, FILE, SYMLINK
from rules_setcap.archive.paths import is_utf8
from rules_setcap.archive.records import OVERLAY, XATTR
from rules_setcap.diagnostics import limits
from rules_setcap.executables import elf
from rules_setcap.oci.nodes import OPAQUE, WHITEOUT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any

    from rules_setcap.archive.budget import ReadBudget
    from rules_setcap.archive.entry import Entry
    from rules_setcap.archive.reader import Member
    from rules_setcap.oci.root_filesystem import RootFilesystem

_OVERLAY = OVERLAY.removeprefix(XATTR)


class LayerContents:
    """A collector of the entries of a layer."""

    def __init__(self, budget: ReadBudget | None = None) -> None:
        """Starts an empty list.

        Args:
          budget: counts the memory of the list if the entries come from outside; None if Bazel made them.
        """
        self._budget = budget
        self._files: list[str] = []
        self._directories: dict[str, tuple[int, int, int]] = {}
        self._links: dict[str, str] = {}
        self._parents: list[str] = []
        self._xattrs: dict[str, dict[str, str]] = {}
        self._hidden: list[str] = []
        self._opaque: list[str] = []
        self._scripts: dict[str, str] = {}
        self._loaders: dict[str, str] = {}

    def add_entries(self, entries: Iterable[Entry], named: Collection[str]) -> None:
        """Adds the entries of a layer that is being packed.

        Args:
          entries: the entries.
          named: the paths of the directories that the target names.
        """
        for entry in entries:
            if entry.type == FILE:
                self._files.append(entry.path)
            elif entry.type == DIRECTORY:
                self._directories[entry.path] = (entry.mode, entry.uid, entry.gid)
                if entry.xattrs:
                    self._xattrs[entry.path] = {name: value.hex() for name, value in entry.xattrs}
                if entry.path not in named:
                    self._parents.append(entry.path)
            elif entry.type == SYMLINK:
                self._links[entry.path] = entry.target
            else:
                self._files.append(entry.path)

    def add_member(self, member: Member) -> None:
        """Adds an entry of a tar; of several entries with one path, the last counts.

        Raises:
          BudgetError: the list takes too much memory.
        """
        path = member.path
        if path == "/" or not is_utf8(path):
            return
        self._count_texts(path, member.link)
        folder, _, name = path.rpartition("/")
        if name == OPAQUE:
            self._opaque.append(folder)
        elif name.startswith(WHITEOUT):
            self._hidden.append(f"{folder}/{name[len(WHITEOUT) :]}")
        elif member.type == DIRECTORY:
            self._directories[path] = (member.mode, member.uid, member.gid)
            self._add_xattrs(
                path, {name[len(XATTR) :]: value for name, value in member.records.items() if name.startswith(XATTR)}
            )
        elif member.type == SYMLINK:
            if is_utf8(member.link):
                self._links[path] = member.link
        else:
            self._files.append(path)

    def add_root_filesystem(self, root: RootFilesystem, interpreters: Mapping[tuple[int, int], tuple[str, str]]) -> None:
        """Adds the merged root filesystem of an image.

        Args:
          root: the root filesystem.
          interpreters: the results of find_interpreter(), by the layer and the entry of the file.

        Raises:
          BudgetError: the list takes too much memory.
        """
        for path, node in root.walk():
            if not is_utf8(path):
                continue
            self._count_texts(path, node.link)
            if node.type == DIRECTORY:
                self._directories[path] = (node.mode, node.uid, node.gid)
                self._add_xattrs(path, node.xattrs)
            elif node.type == SYMLINK:
                if is_utf8(node.link):
                    self._links[path] = node.link
            else:
                self._files.append(path)
                if node.mode & 0o111 and (interpreter := interpreters.get((node.layer, node.entry))):
                    self._add_interpreter(path, interpreter)

    def add_start(self, path: str, mode: int, start: bytes) -> None:
        """Adds the interpreter or the loader of a file, if it is an executable script or program.

        Args:
          path: the path of the file.
          mode: its permissions.
          start: its first bytes; PT_INTERP is found only if it is in them.
        """
        if mode & 0o111 and start[:1] in (b"#", b"\x7f") and (interpreter := find_interpreter(start)):
            self._add_interpreter(path, interpreter)

    def encode(self) -> dict[str, Any]:
        """Returns `contents`, as the docstring of this module describes it."""
        contents: dict[str, Any] = {
            "files": sorted(self._files),
            "directories": dict(sorted(self._directories.items())),
            "links": dict(sorted(self._links.items())),
        }
        for key, values in (("parents", self._parents), ("hidden", self._hidden), ("opaque", self._opaque)):
            if values:
                contents[key] = sorted(values)
        for name, table in (("xattrs", self._xattrs), ("scripts", self._scripts), ("loaders", self._loaders)):
            if table:
                contents[name] = dict(sorted(table.items()))
        return contents

    def _count_texts(self, *texts: str) -> None:
        """Counts the memory of texts: each text itself, and its JSON twice."""
        if self._budget is not None:
            self._budget.spend_memory(sum(200 + 4 * len(text) for text in texts if text))

    def _add_xattrs(self, path: str, values: Mapping[bytes, bytes]) -> None:
        """Adds the attributes of a directory, which a layer above repeats with it.

        Those of overlayfs are about the layer that has them: repeated, they would hide the files of the layers below.
        """
        values = {name: value for name, value in values.items() if not name.startswith(_OVERLAY)}
        if self._budget is not None:
            self._budget.spend_memory(sum(200 + 6 * (len(name) + len(value)) for name, value in values.items()))
        texts = {name.decode("utf-8", "replace"): value.hex() for name, value in sorted(values.items())}
        if texts:
            self._xattrs[path] = texts

    def _add_interpreter(self, path: str, interpreter: tuple[str, str]) -> None:
        kind, text = interpreter
        (self._scripts if kind == "script" else self._loaders)[path] = text


def find_interpreter(start: bytes) -> tuple[str, str] | None:
    """Finds the program that execve(2) starts for a file.

    Args:
      start: the first bytes of the file.

    Returns:
      ("script", the first line without "#!"), ("loader", PT_INTERP), or None for anything else.
    """
    if start.startswith(b"#!"):
        line = start[2 : limits.SCRIPT].partition(b"\n")[0].strip(b" \t\r")
        return ("script", line.decode("utf-8", "replace")) if line else None
    if start.startswith(b"\x7fELF"):
        try:
            loader = elf.find_interpreter(start)
        except elf.ElfError:
            return None
        return ("loader", loader) if loader else None
    return None
