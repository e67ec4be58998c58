"""Computes the merged root filesystem of an image from the entries of its layers, without unpacking them.

OCI image-spec, "Image Layer Filesystem Changeset", "Applying Changesets". Container engines agree about ordinary layers.
RootFilesystem detects layers about which they may differ; the modules in engines/ then unpack the layers by the rules of
each engine. merged_contents.py computes the same from the metadata of layers, which is faster.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, HARDLINK, SYMLINK
from rules_setcap.archive.reader import TarError
from rules_setcap.archive.records import CAPABILITY, OVERLAY
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote
from rules_setcap.oci.nodes import (
    DEVICE,
    OPAQUE,
    WHITEOUT,
    DirectoryNode,
    FilesystemBudget,
    Node,
    TooManyLinks,
    check_entry_path,
    get_xattrs,
    is_whiteout_device,
    walk_nodes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rules_setcap.archive.reader import Member

_AUFS_PREFIX = "/.wh..wh."  # AUFS has its own files below such names.
_MAX_FOLDERS = 4096  # Memoized directories. A path may have 4096 bytes, so that they take 16 MiB at most.


class RootFilesystem:
    """The merged root filesystem of an image, to which layers are applied one by one.

    Attributes:
      root: DirectoryNode, the root directory.
      engines_may_differ: bool, whether a layer has entries about which container engines may differ.
    """

    def __init__(self, root: DirectoryNode | None = None) -> None:
        """Starts without layers.

        Args:
          root: the root directory of a filesystem that is complete; None for an empty one.
        """
        self.root = root or DirectoryNode(None, 0, -1)
        self.engines_may_differ = False
        self._folders: dict[str, DirectoryNode] = {"": self.root}  # Memoized results of _find_or_make_directory().
        self._budget = FilesystemBudget()
        self._followed_link = False  # Whether _walk_to() followed a symbolic link.
        self._last_root_layer = -1  # The last layer with an entry for the root.

    def apply_layer(self, members: Iterable[Member], layer: int, size: int = 0) -> None:
        """Applies a layer.

        Args:
          members: the entries of the layer.
          layer: the number of the layer; the lowest is 0.
          size: the size of the layer as it is stored, in bytes; a large layer may have more files.

        Raises:
          TarError: every engine refuses the layer, or it exceeds a limit.
        """
        self._budget.extend(size)
        self._forget_folders()
        for number, member in enumerate(members):
            check_entry_path(member)
            self._apply_entry(member, layer, number)

    def find_node(self, path: str) -> tuple[str, Node] | None:
        """Finds the node at a path; a symbolic link in the last component is not followed.

        Args:
          path: an absolute path.

        Returns:
          The path with the symbolic links in its parent directories resolved, and the node; None if the path does not exist.

        Raises:
          TooManyLinks: there are more symbolic links on the way than `limits.LINKS`.
        """
        folder, _, name = path.rpartition("/")
        trail = self._walk_to(folder, None)
        node = trail[-1][1].children.get(name) if trail else None
        if trail is None or node is None:
            return None
        return "/".join([part for part, _ in trail] + [name]), node

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Yields the path and the node of everything below the root, sorted by name in each directory."""
        return walk_nodes(self.root)

    def _apply_entry(self, member: Member, layer: int, number: int) -> None:
        """Applies the entry with this number in a layer."""
        folder, _, name = member.path.rpartition("/")
        if not name:
            self.engines_may_differ |= self._last_root_layer == layer
            self._last_root_layer = layer
            return
        parent = self._folders.get(folder)
        if parent is None:
            parent = self._find_or_make_directory(folder, layer)
        self._budget.add_path(member.path)
        if member.records and any(record.startswith(OVERLAY) for record in member.records):
            self.engines_may_differ = True
        if name.startswith(WHITEOUT):
            self._apply_whiteout(parent, name, layer)
        elif member.type == HARDLINK:
            self._apply_hard_link(parent, name, member, layer)
        else:
            self._apply_other(parent, name, member, layer, number)

    def _apply_other(self, parent: DirectoryNode, name: str, member: Member, layer: int, number: int) -> None:
        """Applies an entry that is neither a whiteout nor a hard link."""
        replaced = parent.children.get(name)
        if replaced is not None and DIRECTORY in (replaced.type, member.type):
            if replaced.type == member.type:
                self.engines_may_differ |= replaced.layer == layer and replaced.entry >= 0
                self._record_name(parent, name, layer)
                replaced.copy_metadata(member, layer, number)
                return
            self._forget_folders()
        elif replaced is not None and replaced.type == SYMLINK:
            self._forget_folders()
        if replaced is not None:
            # overlayfs would merge a new directory with one of that name in a layer below; Docker refuses a path that is there twice.
            self.engines_may_differ |= self._is_own_name(parent, name, layer)
        if member.type == DEVICE and is_whiteout_device(member):
            self.engines_may_differ = True
        self._record_name(parent, name, layer)
        if member.type != DIRECTORY:
            parent.children[name] = Node(member, layer, number)
            return
        directory = parent.children[name] = DirectoryNode(member, layer, number)
        directory.replaces_other = replaced is not None or _replaces_other(parent, name)

    def _apply_hard_link(self, parent: DirectoryNode, name: str, member: Member, layer: int) -> None:
        """Applies a hard link; the file gets the mode and owner of the entry."""
        replaced = parent.children.pop(name, None)
        if replaced is not None:
            self.engines_may_differ |= self._is_own_name(parent, name, layer)
            if replaced.type in (DIRECTORY, SYMLINK):
                self._forget_folders()
        folder, _, last = member.link.rpartition("/")
        self._followed_link = False
        try:
            trail = self._walk_to(folder, None)
        except TooManyLinks:
            trail = None
        self.engines_may_differ |= self._followed_link
        target = trail[-1][1].children.get(last) if trail else None
        if trail is None or target is None or target.type == DIRECTORY:
            if self.engines_may_differ:
                return
            raise TarError(f"{quote(member.path)} is a hard link to {quote(member.link)}, which is not a file")
        # An engine that unpacks each layer by itself does not have the files of the layers below.
        self.engines_may_differ |= not self._is_own_name(trail[-1][1], last, layer)
        xattrs = get_xattrs(member)
        if xattrs.get(CAPABILITY) != target.xattrs.get(CAPABILITY):
            # Some engines call chown(2), which clears the attribute, and then set the attribute of the link's entry.
            self.engines_may_differ = True
            target.xattrs = {**target.xattrs, **xattrs}
        if target.type != SYMLINK:
            target.mode = member.mode
        target.uid, target.gid = member.uid, member.gid
        self._record_name(parent, name, layer)
        parent.children[name] = target

    def _apply_whiteout(self, parent: DirectoryNode, name: str, layer: int) -> None:
        """Applies a whiteout, which hides the files of the layers below; those of its own layer stay."""
        # overlayfs ignores an opaque attribute of the root, and engines do not make a whiteout twice.
        self.engines_may_differ |= self._has_whiteout(parent, name, layer) or (name == OPAQUE and parent is self.root)
        if name == OPAQUE:
            self._hide_lower(parent, layer)
            self._record_name(parent, OPAQUE, layer)
            return
        if parent.removed_names is None:
            parent.removed_names = set()
        parent.removed_names.add(name[len(WHITEOUT) :])
        hidden = parent.children.get(name[len(WHITEOUT) :])
        if hidden is not None:
            if self._is_own_name(parent, name[len(WHITEOUT) :], layer):
                self.engines_may_differ = True
                if isinstance(hidden, DirectoryNode):
                    self._hide_lower(hidden, layer)
            else:
                del parent.children[name[len(WHITEOUT) :]]
                if hidden.type in (DIRECTORY, SYMLINK):
                    self._forget_folders()
        self._record_name(parent, name, layer)

    def _hide_lower(self, folder: DirectoryNode, layer: int) -> None:
        """Hides what the layers below have in a directory; the files of the layer itself stay."""
        todo = [folder]
        while todo:
            folder = todo.pop()
            if folder.closed_by == layer and self.engines_may_differ:
                continue  # Nothing is left to hide, and it is known that engines may differ.
            self._budget.add_steps(len(folder.children))
            own_names = folder.own_names if folder.own_layer == layer and folder.own_names is not None else ()
            is_hidden_already, folder.closed_by = folder.closed_by == layer, layer
            for name, child in list(folder.children.items()):
                if not is_hidden_already and name not in own_names:
                    del folder.children[name]
                    if folder.removed_names is None:
                        folder.removed_names = set()
                    folder.removed_names.add(name)
                    if child.type in (DIRECTORY, SYMLINK):
                        self._forget_folders()
                elif isinstance(child, DirectoryNode):
                    # Engines that remember only entries remove a directory without an entry, with the files of this layer in it.
                    self.engines_may_differ |= child.layer != layer or child.entry < 0
                    todo.append(child)

    def _record_name(self, parent: DirectoryNode, name: str, layer: int) -> None:
        """Records that a layer has a name in a directory."""
        self.engines_may_differ |= self._has_whiteout(parent, WHITEOUT + name, layer)
        if layer == 0 and not name.startswith(WHITEOUT):
            return  # All names are those of the lowest layer.
        if parent.own_layer != layer or parent.own_names is None:
            parent.own_names, parent.own_layer = set(), layer
        parent.own_names.add(name)

    def _has_whiteout(self, parent: DirectoryNode, name: str, layer: int) -> bool:
        """Returns whether the layer that is being applied has a whiteout of this name in a directory."""
        return parent.own_names is not None and parent.own_layer == layer and name in parent.own_names

    def _is_own_name(self, parent: DirectoryNode, name: str, layer: int) -> bool:
        """Returns whether the layer that is being applied has a name in a directory."""
        return (
            layer == 0
            or parent.closed_by == layer
            or (parent.own_layer == layer and parent.own_names is not None and name in parent.own_names)
        )

    def _find_or_make_directory(self, folder: str, layer: int) -> DirectoryNode:
        """Returns the directory at an absolute path; creates it if it does not exist."""
        self._followed_link = False
        try:
            trail = self._walk_to(folder, layer)
            assert trail is not None
        except TooManyLinks:
            # An engine that unpacks each layer by itself does not see the links of the layers below.
            self.engines_may_differ = True
            return DirectoryNode(None, layer, -1)
        # Engines differ in which links they follow, and in what they do with the files of AUFS.
        self.engines_may_differ |= self._followed_link or _AUFS_PREFIX in folder
        if layer:
            for (_, parent), (name, _) in itertools.pairwise(trail):
                self._record_name(parent, name, layer)
        directory = trail[-1][1]
        if len(self._folders) > _MAX_FOLDERS:
            self._forget_folders()
        self._folders[folder] = directory
        return directory

    def _forget_folders(self) -> None:
        """Forgets memoized directories: when a directory or a symbolic link is replaced or removed, and when a layer begins."""
        self._folders = {"": self.root}

    def _walk_to(self, folder: str, layer: int | None) -> list[tuple[str, DirectoryNode]] | None:
        """Walks from the root to a directory, and follows symbolic links within the root.

        Args:
          folder: an absolute path, or "" for the root.
          layer: the layer for which missing directories are created; None to create none.

        Returns:
          The name and the node of each directory on the way, from the root; None if the directory does not exist.
        """
        trail = [("", self.root)]
        todo = folder.split("/")[::-1]
        links = 0
        self._budget.add_steps(len(todo))
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if len(trail) > 1:
                    trail.pop()
                continue
            parent = trail[-1][1]
            node = parent.children.get(name)
            if node is not None and node.type == SYMLINK:
                links += 1
                if links > limits.LINKS:
                    raise TooManyLinks(f"more than {limits.LINKS} symbolic links lead from {quote(folder)}")
                self._followed_link = True
                if node.link.startswith("/"):
                    del trail[1:]
                parts = node.link.split("/")
                self._budget.add_steps(len(parts))
                todo += parts[::-1]
                continue
            if not isinstance(node, DirectoryNode):
                if layer is None:
                    return None
                if node is not None:
                    self.engines_may_differ = True  # Engines replace the file by a directory, or refuse the layer.
                created = parent.children[name] = DirectoryNode(None, layer, -1)
                created.replaces_other = _replaces_other(parent, name)
                # containerd looks for the attributes of the directory in each layer below, and fails if links or files of
                # those layers lead somewhere else.
                self.engines_may_differ |= created.replaces_other
                self._budget.add_path("/".join([part for part, _ in trail]) + name)
                self._record_name(parent, name, layer)
                node = created
            trail.append((name, node))
        return trail


def _replaces_other(parent: DirectoryNode, name: str) -> bool:
    """Returns whether a new directory in `parent` has the path of something else in a layer below."""
    return parent.replaces_other or (parent.removed_names is not None and name in parent.removed_names)
