"""The root file system that the layers of an image make, one on top of the other, without unpacking any.

OCI image-spec, "Image Layer Filesystem Changeset", "Applying Changesets". Parents of entries
are resolved as container engines do: through symbolic links, within the root.
"""

from __future__ import annotations

from . import limits
from .archive import ArchiveError
from .entries import DIRECTORY, HARDLINK, SYMLINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator

    from .archive import Member

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_XATTR = b"SCHILY.xattr."


class Node:
    """A file, directory or link; hard links to a file are the same node.

    Attributes:
      type: str, as of entries, or what a Member has beyond those.
      link: str, what a symbolic link says.
      mode, uid, gid, size: int.
      sparse: bool, whether its content in the archive is a map and pieces.
      xattrs: dict, extended attributes by name, bytes both.
      layer: int, the number of the layer that has it.
      entry: int, the number of its entry in that layer.
      children: dict of Node by name, of a directory.
    """

    __slots__ = ("type", "link", "mode", "uid", "gid", "size", "sparse", "xattrs", "layer", "entry", "children", "touched")

    def __init__(self, member: Member | None, layer: int, entry: int) -> None:
        self.type = member.type if member else DIRECTORY
        self.link = member.link if member else ""
        self.mode = member.mode if member else 0o755
        self.uid = member.uid if member else 0
        self.gid = member.gid if member else 0
        self.size = member.size if member else 0
        self.sparse = member.sparse if member else False
        records = member.records if member else {}
        self.xattrs = {name[len(_XATTR) :]: value for name, value in records.items() if name.startswith(_XATTR)}
        self.layer, self.entry = layer, entry
        self.children: dict[str, Node] = {}
        self.touched = layer  # The last layer that has it, or anything in it.


class Tree:
    """All files of an image."""

    def __init__(self) -> None:
        self.root = Node(None, -1, -1)

    def apply(self, members: Iterable[Member], layer: int) -> None:
        """Applies a layer.

        Args:
          members: its entries.
          layer: its number; the lowest is 0.

        Raises:
          ArchiveError: links go round, or an entry is below what is no directory.
        """
        for number, member in enumerate(members):
            if len(member.path) > limits.PATH:
                raise ArchiveError(f"a path of {len(member.path)} letters; no file system takes more than {limits.PATH}")
            folder, _, name = member.path.rpartition("/")
            if not name:
                continue  # The root itself.
            trail = self._enter(folder, layer)
            assert trail is not None  # Made, where it was not there.
            parent = trail[-1][1]
            for _, node in trail:
                node.touched = layer
            if name == _OPAQUE:
                _hide(parent, layer)
            elif name.startswith(_WHITEOUT):
                hidden = parent.children.get(name[len(_WHITEOUT) :])
                # What this layer has itself stays: a whiteout is about those below.
                if hidden is not None and hidden.touched < layer:
                    del parent.children[name[len(_WHITEOUT) :]]
                elif hidden is not None:
                    _hide(hidden, layer)
            elif member.type == HARDLINK:
                at = self.find(member.link)
                if at is None or at[1].type in (DIRECTORY, SYMLINK):
                    raise ArchiveError(f"a hard link to {member.link}, which is no file")
                parent.children[name] = at[1]
            else:
                known = parent.children.get(name)
                node = parent.children[name] = Node(member, layer, number)
                if known is not None and known.type == member.type == DIRECTORY:
                    node.children = known.children

    def find(self, path: str) -> tuple[str, Node] | None:
        """Where a path leads, its last part not followed; None if nowhere.

        Args:
          path: absolute.

        Returns:
          The path without symbolic links in it, and what is there.

        Raises:
          ArchiveError: links go round.
        """
        folder, _, name = path.rpartition("/")
        trail = self._enter(folder)
        node = trail[-1][1].children.get(name) if trail else None
        if trail is None or node is None:
            return None
        return "/".join([part for part, _ in trail] + [name]), node

    def walk(self) -> Iterator[tuple[str, Node]]:
        """All paths below the root and what is there, by name."""
        todo = [("", self.root)]
        while todo:
            path, node = todo.pop()
            if path:
                yield path, node
            todo += [(f"{path}/{name}", node.children[name]) for name in sorted(node.children, reverse=True)]

    def _enter(self, folder: str, layer: int | None = None) -> list[tuple[str, Node]] | None:
        """The directories on the way into one, from the root, with their names.

        Args:
          folder: absolute, or "" for the root.
          layer: the layer that makes those that are not there; None if none does.

        Returns:
          None if there is no such directory.
        """
        trail = [("", self.root)]
        todo = folder.split("/")[::-1]
        links = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if len(trail) > 1:
                    trail.pop()
                continue
            node = trail[-1][1].children.get(name)
            if node is not None and node.type == SYMLINK:
                links += 1
                if links > limits.LINKS:
                    raise ArchiveError(f"symbolic links that go round at {folder}")
                if node.link.startswith("/"):
                    del trail[1:]
                todo += node.link.split("/")[::-1]
                continue
            if node is None and layer is not None:
                node = trail[-1][1].children[name] = Node(None, layer, -1)
            if node is None or node.type != DIRECTORY:
                if layer is None:
                    return None
                raise ArchiveError(f"an entry below {folder}, of which {name} is no directory")
            trail.append((name, node))
        return trail


def _hide(folder: Node, layer: int) -> None:
    """Hides what layers below have in a directory; what this one has itself stays."""
    todo = [folder]
    while todo:
        node = todo.pop()
        for name, child in list(node.children.items()):
            if child.touched < layer:
                del node.children[name]
            else:
                todo.append(child)
