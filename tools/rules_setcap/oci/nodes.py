"""The files of a root filesystem that is computed, and what may be in it."""

from __future__ import annotations

from rules_setcap.archive.entry import DIRECTORY
from rules_setcap.archive.reader import ArchiveError
from rules_setcap.archive.records import XATTR
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Mapping

    from rules_setcap.archive.reader import Member

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
DEVICE = "character device"
_NOTHING: Mapping[bytes, bytes] = {}


class TooManyLinks(ArchiveError):
    """More symbolic links than the kernel follows (ELOOP); mostly links that lead to each other."""


class Node:
    """A file, directory or link; hard links to a file are the same node.

    Attributes:
      type: str, one of those in entries.py, or a type that a Member has beyond those.
      link: str, the target of a symbolic link.
      mode, uid, gid, size: int.
      sparse: bool, whether its content in the archive is a map and pieces.
      xattrs: mapping of extended attributes by name, bytes both; it is never changed in place.
      layer: int, the number of the layer that has it.
      entry: int, the number of its entry in that layer; -1 for a directory that only an entry below it implies.
      children: mapping of Node by name; empty unless it is a directory.
    """

    __slots__ = ("type", "link", "mode", "uid", "gid", "size", "sparse", "xattrs", "layer", "entry")

    children: Mapping[str, Node] = {}

    def __init__(self, member: Member | None, layer: int, entry: int) -> None:
        self.layer, self.size, self.sparse = layer, 0, False
        self.xattrs = _NOTHING
        if member is None:
            self.type, self.link, self.mode, self.uid, self.gid, self.entry = DIRECTORY, "", 0o755, 0, 0, -1
            return
        self.type, self.link, self.size, self.sparse = member.type, member.link, member.size, member.sparse
        self.describe(member, layer, entry)

    def describe(self, member: Member, layer: int, entry: int) -> None:
        """Takes mode, owner and extended attributes from an entry."""
        self.mode, self.uid, self.gid = member.mode, member.uid, member.gid
        self.layer, self.entry = layer, entry
        self.xattrs = xattrs_of(member)


class Directory(Node):
    """A directory.

    Attributes:
      children: dict of Node by name.
      own: set of str, the names that layer `own_layer` has in it, by entries or by implication; whiteouts as ".wh.NAME".
      own_layer: int.
      closed: int, the last layer that hid everything below it in this directory.
      gone: set of str, the names that layers hid in it.
      renewed: bool, whether there was something else at its path, or at that of a parent, in a layer below.
    """

    __slots__ = ("children", "own", "own_layer", "closed", "gone", "renewed")

    children: dict[str, Node]

    def __init__(self, member: Member | None, layer: int, entry: int) -> None:
        super().__init__(member, layer, entry)
        self.children = {}
        self.own: set[str] | None = None
        self.own_layer = self.closed = layer
        self.gone: set[str] | None = None
        self.renewed = False


class Budget:
    """Counts what is in a root filesystem, and how much work it takes; beyond the limits it raises an ArchiveError."""

    def __init__(self) -> None:
        self._nodes, self._letters, self._steps = limits.NODES, limits.PATHS, limits.STEPS

    def extend(self, size: int) -> None:
        """Allows more files for a layer of `size` bytes, as the layers of large images have."""
        self._nodes += size // limits.BYTES_A_NODE
        self._letters += size

    def add(self, path: str) -> None:
        """Counts a path that was not there."""
        self._nodes -= 1
        self._letters -= len(path)
        if self._nodes < 0:
            raise ArchiveError(f"too many files and directories (limit NODES: {limits.NODES})")
        if self._letters < 0:
            raise ArchiveError(f"files and directories with too long paths (limit PATHS: {limits.PATHS} bytes in all)")

    def step(self, count: int) -> None:
        """Counts parts of paths that were looked up."""
        self._steps -= count
        if self._steps < 0:
            raise ArchiveError(f"paths and symbolic links take too many steps to resolve (limit STEPS: {limits.STEPS})")


def check_path(member: Member) -> None:
    """Checks the length of an entry's path and link, and the name of a whiteout.

    Raises:
      ArchiveError: no filesystem takes the path, or no engine the whiteout.
    """
    for text in (member.path, member.link):
        if len(text) > limits.PATH:
            raise ArchiveError(f"a path of {len(text)} bytes; no filesystem takes more than {limits.PATH}")
    name = member.path[member.path.rfind("/") + 1 :]
    if name.startswith(WHITEOUT) and name[len(WHITEOUT) :] in ("", ".", ".."):
        raise ArchiveError(f"{quote(member.path)} is not a valid whiteout: it names no file")


def xattrs_of(member: Member) -> Mapping[bytes, bytes]:
    """Returns the extended attributes of an entry."""
    if not member.records:
        return _NOTHING  # One for all, for there may be many files.
    return {name[len(XATTR) :]: value for name, value in member.records.items() if name.startswith(XATTR)}


def is_whiteout_device(member: Member) -> bool:
    """Returns whether a character device is number 0:0, which is a whiteout to overlayfs (or has numbers that are not octal)."""
    return not member.header[329:345].strip(b"\0 0\x80")


def walk(root: Node) -> Iterator[tuple[str, Node]]:
    """Yields all paths below a directory with what is there, sorted by name in each directory."""
    todo = [("", root)]
    while todo:
        path, node = todo.pop()
        if path:
            yield path, node
        if node.children:
            todo += [(f"{path}/{name}", node.children[name]) for name in sorted(node.children, reverse=True)]
