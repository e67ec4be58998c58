"""Unpacks layers into root filesystems in memory, as container engines do it on disk.

engines.py has the rules of each engine. An error of the operating system, such as ENOTDIR, is the OSError that the
engine would get; an engine that gets one refuses the image.
"""

from __future__ import annotations

import errno

from rules_setcap.archive.entry import DIRECTORY, SYMLINK
from rules_setcap.archive.records import CAPABILITY
from rules_setcap.oci.filesystem import Filesystem, error
from rules_setcap.oci.nodes import DEVICE, Budget, Directory, Node, is_whiteout_device, xattrs_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping

    from rules_setcap.archive.reader import Member

OPAQUE_ATTRIBUTE = b"trusted.overlay.opaque"
WHITEOUT_DEVICE = "whiteout"
"""The type of a character device 0:0, which is a whiteout to overlayfs."""


class Unpacking:
    """Unpacks the layers of an image by the rules of one engine. Subclasses have the rules.

    Attributes:
      refused: the entry that the engine refuses, and why; None if it takes the image.
    """

    keeps_trusted = True  # Whether the engine sets extended attributes that begin with "trusted.".
    link_has_metadata = True  # Whether mode, owner and attributes of a hard link's entry are set.

    def __init__(self, stacked: bool, budget: Budget) -> None:
        """
        Args:
          stacked: whether each layer is unpacked by itself, and overlayfs merges them.
          budget: limits the work.
        """
        self.stacked = stacked
        self.refused: tuple[str, str] | None = None
        self._budget = budget
        self.layers: list[Filesystem] = []
        self.number = -1
        self.directories: list[str] = []  # Paths of this layer for check_directory().
        self.done: set[str] = set()  # The paths that this layer has, as the engine remembers them.

    @property
    def files(self) -> Filesystem:
        """What the layer is unpacked into."""
        return self.layers[-1]

    def begin(self) -> None:
        """Begins a layer."""
        self.number += 1
        self.done = set()
        self.directories = []
        if self.stacked or not self.layers:
            self.layers.append(Filesystem(self._budget))

    def add(self, member: Member, entry: int) -> None:
        """Unpacks an entry.

        Args:
          member: the entry.
          entry: its number in the layer.
        """
        if self.refused or member.path == "/":
            return
        try:
            self.unpack(member, entry)
        except OSError as refusal:
            self.refused = member.path, str(refusal.strerror)

    def end(self) -> None:
        """Ends a layer."""
        if not self.refused:
            for path in self.directories:
                try:
                    self.check_directory(path)
                except OSError as refusal:
                    self.refused = path, str(refusal.strerror)

    def check_directory(self, path: str) -> None:
        """Does what the engine does at the end of a layer with the path of a directory's entry.

        Raises:
          OSError: the engine refuses the layer.
        """

    def unpack(self, member: Member, entry: int) -> None:
        """Unpacks an entry by the rules of the engine.

        Raises:
          OSError: the engine refuses it.
        """
        raise NotImplementedError

    def root(self) -> Directory:
        """Returns the merged root filesystem, once all layers are unpacked."""
        if not self.stacked:
            return self.layers[0].root
        root = Directory(None, 0, -1)
        for layer in self.layers:
            root = _merge(root, layer.root)
        return root

    def create(self, path: str, member: Member, entry: int, target: Node | None) -> None:
        """Makes what an entry describes.

        Args:
          path: where; nothing is there, or a directory if the entry is one.
          member: the entry.
          entry: its number in the layer.
          target: what a hard link is linked to.

        Raises:
          OSError: it cannot be made.
        """
        if target is not None:
            if target.type == DIRECTORY:
                raise error(errno.EPERM)
            self.files.make(path, target)
            if self.link_has_metadata:
                if self.clears(target, member):
                    target.xattrs = {name: value for name, value in target.xattrs.items() if name != CAPABILITY}
                target.uid, target.gid = member.uid, member.gid
                if target.type != SYMLINK:
                    target.mode = member.mode
                target.xattrs = {**target.xattrs, **self._xattrs(member)}
            return
        if member.type == DIRECTORY:
            if self.files.exists(path):
                known = self.files.lstat(path)
                old = known.xattrs
                known.describe(member, self.number, entry)
                known.xattrs = {**old, **self._xattrs(member)}
                return
            node: Node = Directory(member, self.number, entry)
        else:
            node = Node(member, self.number, entry)
            if self.stacked and member.type == DEVICE and is_whiteout_device(member):
                node.type = WHITEOUT_DEVICE
        node.xattrs = self._xattrs(member)
        self.files.make(path, node)

    def clears(self, target: Node, member: Member) -> bool:
        """Returns whether the engine calls chown(2) on a hard link, which clears the capabilities of the file."""
        return True

    def make_whiteout(self, path: str) -> None:
        """Makes a whiteout of overlayfs.

        Raises:
          OSError: something is there already, or its directory is not.
        """
        node = Node(None, self.number, -1)
        node.type = WHITEOUT_DEVICE
        self.files.make(path, node)

    def make_opaque(self, path: str) -> None:
        """Marks a directory so that overlayfs hides what the layers below have in it.

        Raises:
          OSError: there is nothing at that path.
        """
        node = self.files.stat(path)
        node.xattrs = {**node.xattrs, OPAQUE_ATTRIBUTE: b"y"}

    def _xattrs(self, member: Member) -> Mapping[bytes, bytes]:
        attributes = xattrs_of(member)
        if attributes and not self.keeps_trusted:
            return {name: value for name, value in attributes.items() if not name.startswith(b"trusted.")}
        return attributes


def both_directories(known: Node | None, member: Member) -> bool:
    """Returns whether an entry and what is at its path are directories, which are merged; all else is replaced."""
    return known is not None and known.type == member.type == DIRECTORY


def _merge(lower: Directory, upper: Directory) -> Directory:
    """Merges the root directories of two layers as overlayfs does, and returns the result; both are used up.

    Documentation/filesystems/overlayfs.rst, "Merging" and "whiteouts and opaque directories". The attribute of an opaque
    directory has no effect on a root.
    """
    merged = lower.children
    todo: list[tuple[dict[str, Node], Directory]] = [(merged, upper)]
    while todo:
        below, folder = todo.pop()
        for name, node in folder.children.items():
            old = below.get(name)
            if node.type == WHITEOUT_DEVICE:
                below.pop(name, None)
            elif isinstance(node, Directory):
                keep = isinstance(old, Directory) and node.xattrs.get(OPAQUE_ATTRIBUTE) != b"y"
                todo.append((dict(old.children) if keep and old else {}, node))
                below[name] = node
            else:
                below[name] = node
        folder.children = below
    return upper
