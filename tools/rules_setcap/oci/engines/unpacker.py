"""Unpacks layers into root filesystems in memory, as container engines unpack them on disk.

The subclasses of Unpacker, a module for each engine, have the rules. An error of the operating system, such as ENOTDIR, is
the OSError that the engine would get; an engine that gets one refuses the image.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, SYMLINK
from rules_setcap.archive.records import CAPABILITY
from rules_setcap.oci.engines.filesystem import Filesystem, build_error
from rules_setcap.oci.nodes import DEVICE, DirectoryNode, FilesystemBudget, Node, get_xattrs, is_whiteout_device

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules_setcap.archive.reader import Member

OPAQUE_ATTRIBUTE = b"trusted.overlay.opaque"
"""The extended attribute that makes a directory opaque to overlayfs."""

WHITEOUT_DEVICE = "whiteout"
"""The type of a character device with number 0:0, which is a whiteout to overlayfs."""


class Unpacker:
    """Unpacks the layers of an image by the rules of one engine.

    Attributes:
      stacked: bool, whether each layer is unpacked by itself, and overlayfs merges them.
      layers: list of Filesystem, the layers if they are stacked, else only the root filesystem.
      layer_number: int, the number of the current layer; the lowest is 0.
      directories: list of str, the paths of the current layer for check_directory().
      unpacked_paths: set of str, the paths that the current layer has, as the engine remembers them.
      refusal: tuple of two str, the path of the entry that the engine refuses, and the reason; None if it accepts the image.
    """

    keeps_trusted = True  # Whether the engine sets extended attributes that begin with "trusted.".
    applies_link_metadata = True  # Whether the engine sets mode, owner and attributes from the entry of a hard link.

    def __init__(self, stacked: bool, budget: FilesystemBudget) -> None:
        """Starts without layers.

        Args:
          stacked: the attribute.
          budget: limits the work.
        """
        self.stacked = stacked
        self.refusal: tuple[str, str] | None = None
        self._budget = budget
        self.layers: list[Filesystem] = []
        self.layer_number = -1
        self.directories: list[str] = []
        self.unpacked_paths: set[str] = set()

    @property
    def filesystem(self) -> Filesystem:
        """Returns the filesystem into which the current layer is unpacked."""
        return self.layers[-1]

    def begin_layer(self) -> None:
        """Begins the next layer."""
        self.layer_number += 1
        self.unpacked_paths = set()
        self.directories = []
        if self.stacked or not self.layers:
            self.layers.append(Filesystem(self._budget))

    def add_entry(self, member: Member, entry: int) -> None:
        """Unpacks an entry, unless the engine has refused an entry before.

        Args:
          member: the entry.
          entry: the number of the entry in the layer.
        """
        if self.refusal or member.path == "/":
            return
        try:
            self.unpack_entry(member, entry)
        except OSError as error:
            self.refusal = member.path, str(error.strerror)

    def end_layer(self) -> None:
        """Ends the current layer."""
        if not self.refusal:
            for path in self.directories:
                try:
                    self.check_directory(path)
                except OSError as error:
                    self.refusal = path, str(error.strerror)

    def check_directory(self, path: str) -> None:
        """Does what the engine does at the end of a layer with the path of a directory's entry.

        Raises:
          OSError: the engine refuses the layer.
        """

    def unpack_entry(self, member: Member, entry: int) -> None:
        """Unpacks an entry by the rules of the engine.

        Raises:
          OSError: the engine refuses the entry.
        """
        raise NotImplementedError

    def merge_layers(self) -> DirectoryNode:
        """Returns the root directory of the merged root filesystem, after all layers have been unpacked."""
        if not self.stacked:
            return self.layers[0].root
        root = DirectoryNode(None, 0, -1)
        for layer in self.layers:
            root = _merge_directories(root, layer.root)
        return root

    def create_node(self, path: str, member: Member, entry: int, target: Node | None) -> None:
        """Creates the node that an entry describes.

        Args:
          path: the path of the node. Nothing exists there, or a directory if the entry is one.
          member: the entry.
          entry: the number of the entry in the layer.
          target: the node to which a hard link links; None for any other entry.

        Raises:
          OSError: the node cannot be created.
        """
        if target is not None:
            self._create_hard_link(path, member, target)
            return
        if member.type == DIRECTORY:
            if self.filesystem.exists(path):
                directory = self.filesystem.lstat(path)
                xattrs = directory.xattrs
                directory.copy_metadata(member, self.layer_number, entry)
                directory.xattrs = {**xattrs, **self._get_applied_xattrs(member)}
                return
            node: Node = DirectoryNode(member, self.layer_number, entry)
        else:
            node = Node(member, self.layer_number, entry)
            if self.stacked and member.type == DEVICE and is_whiteout_device(member):
                node.type = WHITEOUT_DEVICE
        node.xattrs = self._get_applied_xattrs(member)
        self.filesystem.add_node(path, node)

    def calls_chown(self, target: Node, member: Member) -> bool:
        """Returns whether the engine calls chown(2) on a hard link, which clears the capabilities of the file."""
        return True

    def create_whiteout(self, path: str) -> None:
        """Creates a whiteout of overlayfs.

        Raises:
          OSError: the path exists, or its directory does not.
        """
        node = Node(None, self.layer_number, -1)
        node.type = WHITEOUT_DEVICE
        self.filesystem.add_node(path, node)

    def make_opaque(self, path: str) -> None:
        """Marks a directory so that overlayfs hides what the layers below have in it.

        Raises:
          OSError: the path does not exist.
        """
        node = self.filesystem.stat(path)
        node.xattrs = {**node.xattrs, OPAQUE_ATTRIBUTE: b"y"}

    def _create_hard_link(self, path: str, member: Member, target: Node) -> None:
        if target.type == DIRECTORY:
            raise build_error(errno.EPERM)
        self.filesystem.add_node(path, target)
        if self.applies_link_metadata:
            if self.calls_chown(target, member):
                target.xattrs = {name: value for name, value in target.xattrs.items() if name != CAPABILITY}
            target.uid, target.gid = member.uid, member.gid
            if target.type != SYMLINK:
                target.mode = member.mode
            target.xattrs = {**target.xattrs, **self._get_applied_xattrs(member)}

    def _get_applied_xattrs(self, member: Member) -> Mapping[bytes, bytes]:
        """Returns the extended attributes that the engine sets for an entry."""
        xattrs = get_xattrs(member)
        if xattrs and not self.keeps_trusted:
            return {name: value for name, value in xattrs.items() if not name.startswith(b"trusted.")}
        return xattrs


def are_directories(node: Node | None, member: Member) -> bool:
    """Returns whether a node and an entry for its path are directories, which are merged; any other node is replaced."""
    return node is not None and node.type == member.type == DIRECTORY


def _merge_directories(lower: DirectoryNode, upper: DirectoryNode) -> DirectoryNode:
    """Merges the root directories of two layers as overlayfs does; returns the result, for which both are modified.

    Documentation/filesystems/overlayfs.rst of Linux, "Merging" and "whiteouts and opaque directories". The attribute of an
    opaque directory has no effect on a root directory.
    """
    todo: list[tuple[dict[str, Node], DirectoryNode]] = [(lower.children, upper)]
    while todo:
        merged, directory = todo.pop()
        for name, node in directory.children.items():
            lower_node = merged.get(name)
            if node.type == WHITEOUT_DEVICE:
                merged.pop(name, None)
            elif isinstance(node, DirectoryNode):
                is_merged = isinstance(lower_node, DirectoryNode) and node.xattrs.get(OPAQUE_ATTRIBUTE) != b"y"
                todo.append((dict(lower_node.children) if is_merged and lower_node else {}, node))
                merged[name] = node
            else:
                merged[name] = node
        directory.children = merged
    return upper
