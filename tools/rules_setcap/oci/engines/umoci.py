"""Unpacks layers by the rules of umoci."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, HARDLINK, SYMLINK
from rules_setcap.oci.engines.filesystem import MAX_USER_LINKS, build_refusal
from rules_setcap.oci.engines.unpacker import Unpacker, are_directories
from rules_setcap.oci.nodes import OPAQUE, WHITEOUT, DirectoryNode, Node, TooManyLinks
from rules_setcap.oci.symlinks import resolve_links

if TYPE_CHECKING:
    from rules_setcap.archive.reader import Member


class UmociUnpacker(Unpacker):
    """The rules of umoci: UnpackEntry and ociWhiteout of oci/layer/tar_extract.go."""

    applies_link_metadata = False

    def unpack_entry(self, member: Member, entry: int) -> None:
        """Unpacks an entry (UnpackEntry)."""
        folder, _, name = member.path.rpartition("/")
        parent = self._resolve_path(folder)
        path = f"{parent}/{name}"
        if name.startswith(WHITEOUT):
            self._apply_whiteout(parent, "" if name == OPAQUE else name[len(WHITEOUT) :])
            return
        replaced, old_parent = self._find_node(path), self._find_node(parent)
        self._make_parents(parent)
        if old_parent is not None and old_parent.type != DIRECTORY:
            # umoci restores the attributes of the parent, and does not notice that it was a file.
            new_parent = self.filesystem.lstat(parent)
            new_parent.mode, new_parent.uid, new_parent.gid = old_parent.mode, old_parent.uid, old_parent.gid
        if replaced is not None and not are_directories(replaced, member):
            self.filesystem.remove_path(path)
        target = None
        if member.type == HARDLINK:
            folder, _, name = member.link.rpartition("/")
            target = self.filesystem.lstat(f"{self._resolve_path(folder)}/{name}")
        self.create_node(path, member, entry, target)
        while path:
            self.unpacked_paths.add(path)
            path = path.rpartition("/")[0]

    def _apply_whiteout(self, parent: str, name: str) -> None:
        """Removes what the layers below have (ociWhiteout); the paths of the layer itself and their parents stay.

        Args:
          parent: the path of the directory.
          name: the hidden name; "" for an opaque whiteout.
        """
        path = f"{parent}/{name}" if name else parent
        top = self._find_node(path)
        if top is None:
            return
        todo = [(path, top, bool(name))]
        while todo:
            path, node, may_go = todo.pop()
            if may_go and path not in self.unpacked_paths:
                self.filesystem.remove_path(path)
            elif isinstance(node, DirectoryNode):
                self._budget.add_steps(len(node.children))
                todo += [(f"{path}/{child_name}", child, True) for child_name, child in node.children.items()]

    def _resolve_path(self, path: str) -> str:
        """Returns a path with all symbolic links followed; components that do not exist stay in the path.

        SecureJoinVFS of github.com/cyphar/filepath-securejoin.
        """
        try:
            return resolve_links(path, self._read_link, self._budget.add_steps, MAX_USER_LINKS)
        except TooManyLinks:
            raise build_refusal("too many links") from None

    def _read_link(self, path: str) -> str | None:
        """Returns the target of the symbolic link at a path; None if there is no symbolic link."""
        node = self._find_node(path)
        return node.link if node is not None and node.type == SYMLINK else None

    def _find_node(self, path: str) -> Node | None:
        """Returns the node at a path; None if there is none, or if a parent is not a directory."""
        try:
            return self.filesystem.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _make_parents(self, path: str) -> None:
        """Creates the missing parent directories of an entry; a file in their place is replaced (TarExtractor.mkdirAll)."""
        missing = []
        while path:
            node = self._find_node(path)
            if node is not None:
                if node.type == DIRECTORY:
                    break
                self.filesystem.remove_path(path)
            missing.append(path)
            path = path.rpartition("/")[0]
        for directory in reversed(missing):
            self.filesystem.add_node(directory, DirectoryNode(None, self.layer_number, -1))
