"""The nodes of a root filesystem in memory, and the limits of its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY
from rules_setcap.archive.headers import TarError
from rules_setcap.archive.records import XATTR
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rules_setcap.archive.reader import Member

WHITEOUT = ".wh."
"""The prefix of the name of a whiteout, which deletes the file of that name in the layers below."""

OPAQUE = ".wh..wh..opq"
"""The name of an opaque whiteout, which deletes what the layers below have in its directory."""

DEVICE = "character device"
"""The type of a character device, which archive/entry.py does not have because no layer that is built has devices."""

_NO_XATTRS: Mapping[bytes, bytes] = {}


class TooManyLinks(TarError):
    """More symbolic links than the kernel follows (ELOOP), mostly because links lead to each other."""


class Node:
    """A file, directory or link. All hard links to a file are the same node.

    Attributes:
      type: str, FILE, DIRECTORY or SYMLINK of archive/entry.py, or another type that a Member can have.
      link: str, the target of a symbolic link.
      mode, uid, gid, size: int.
      sparse: bool, whether its content in the archive is a map and pieces.
      xattrs: mapping of extended attributes by name, both bytes; it is never changed in place.
      layer: int, the number of the layer that has it.
      entry: int, the number of its entry in that layer; -1 for a directory that exists only because an entry is below it.
      children: mapping of Node by name; empty unless it is a directory.
    """

    __slots__ = ("entry", "gid", "layer", "link", "mode", "size", "sparse", "type", "uid", "xattrs")

    children: Mapping[str, Node] = {}

    def __init__(self, member: Member | None, layer: int, entry: int) -> None:
        """Creates a node from an entry.

        Args:
          member: the entry; None for a directory that only an entry below it implies.
          layer: the number of the layer.
          entry: the number of the entry in the layer.
        """
        self.layer, self.size, self.sparse = layer, 0, False
        self.xattrs = _NO_XATTRS
        if member is None:
            self.type, self.link, self.mode, self.uid, self.gid, self.entry = DIRECTORY, "", 0o755, 0, 0, -1
            return
        self.type, self.link, self.size, self.sparse = member.type, member.link, member.size, member.sparse
        self.copy_metadata(member, layer, entry)

    def copy_metadata(self, member: Member, layer: int, entry: int) -> None:
        """Copies mode, owner and extended attributes from an entry."""
        self.mode, self.uid, self.gid = member.mode, member.uid, member.gid
        self.layer, self.entry = layer, entry
        self.xattrs = get_xattrs(member)


class DirectoryNode(Node):
    """A directory.

    Attributes:
      children: dict of Node by name.
      own_names: set of str, the names in the directory that layer `own_layer` has, by entries or by implication; a whiteout
        is there as ".wh.NAME". None if it has none yet.
      own_layer: int.
      closed_by: int, the last layer that hid everything that the layers below it have in the directory.
      removed_names: set of str, the names in the directory that layers hid; None if there are none.
      replaces_other: bool, whether a layer below has something else at its path, or at the path of a parent.
    """

    __slots__ = ("children", "closed_by", "own_layer", "own_names", "removed_names", "replaces_other")

    children: dict[str, Node]

    def __init__(self, member: Member | None, layer: int, entry: int) -> None:
        """Creates a directory from an entry; the arguments are those of Node."""
        super().__init__(member, layer, entry)
        self.children = {}
        self.own_names: set[str] | None = None
        self.own_layer = self.closed_by = layer
        self.removed_names: set[str] | None = None
        self.replaces_other = False


class FilesystemBudget:
    """Limits the size of a root filesystem and the work that it takes; raises TarError beyond the limits."""

    def __init__(self) -> None:
        """Starts with the whole budget."""
        self._nodes, self._letters, self._steps = limits.NODES, limits.PATHS, limits.STEPS

    def extend(self, size: int) -> None:
        """Allows more files for a layer of `size` bytes, as the layers of large images have."""
        self._nodes += size // limits.BYTES_A_NODE
        self._letters += size

    def add_path(self, path: str) -> None:
        """Counts a new path."""
        self._nodes -= 1
        self._letters -= len(path)
        if self._nodes < 0:
            raise TarError(f"too many files and directories (limit NODES: {limits.NODES})")
        if self._letters < 0:
            raise TarError(f"files and directories with too long paths (limit PATHS: {limits.PATHS} bytes in all)")

    def add_steps(self, count: int) -> None:
        """Counts components of paths that are looked up."""
        self._steps -= count
        if self._steps < 0:
            raise TarError(f"paths and symbolic links take too many steps to resolve (limit STEPS: {limits.STEPS})")


def check_entry_path(member: Member) -> None:
    """Checks the length of an entry's path and link target, and the name of a whiteout.

    Raises:
      TarError: no filesystem accepts the path, or no engine the whiteout.
    """
    for text in (member.path, member.link):
        if len(text) > limits.PATH:
            raise TarError(f"a path of {len(text)} bytes; no filesystem takes more than {limits.PATH}")
    name = member.path[member.path.rfind("/") + 1 :]
    if name.startswith(WHITEOUT) and name[len(WHITEOUT) :] in ("", ".", ".."):
        raise TarError(f"{quote(member.path)} is not a valid whiteout: it names no file")


def get_xattrs(member: Member) -> Mapping[bytes, bytes]:
    """Returns the extended attributes of an entry by name."""
    if not member.records:
        return _NO_XATTRS  # One object for all of them, because there may be many files.
    return {name[len(XATTR) :]: value for name, value in member.records.items() if name.startswith(XATTR)}


def is_whiteout_device(member: Member) -> bool:
    """Returns whether a character device has the number 0:0, which is a whiteout to overlayfs, or numbers that are not octal."""
    return not member.header[329:345].strip(b"\0 0\x80")


def walk_nodes(root: Node) -> Iterator[tuple[str, Node]]:
    """Yields the path and the node of everything below a directory, sorted by name in each directory."""
    todo = [("", root)]
    while todo:
        path, node = todo.pop()
        if path:
            yield path, node
        if node.children:
            todo += [(f"{path}/{name}", node.children[name]) for name in sorted(node.children, reverse=True)]
