"""Unpacks layers by the rules of containerd."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, HARDLINK
from rules_setcap.oci.engines.filesystem import build_error
from rules_setcap.oci.engines.unpacker import Unpacker, are_directories
from rules_setcap.oci.nodes import OPAQUE, WHITEOUT, DirectoryNode

if TYPE_CHECKING:
    from rules_setcap.archive.reader import Member


class ContainerdUnpacker(Unpacker):
    """The rules of containerd: applyNaive and createTarFile of pkg/archive/tar.go, apply of core/diff/apply/apply_linux.go.

    With overlayfs the lowest layer is unpacked into a bind mount, as every layer is with the native snapshotter.
    """

    keeps_trusted = False  # setxattr, pkg/archive/tar_unix.go.

    def unpack_entry(self, member: Member, entry: int) -> None:
        """Unpacks an entry (applyNaive)."""
        folder, _, name = member.path.rpartition("/")
        parent = self.filesystem.resolve_lexically(folder)
        path = f"{parent}/{name}"
        self._make_parents(parent)
        if name.startswith(WHITEOUT):
            hidden = f"{parent}/{name[len(WHITEOUT) :]}"
            if self.stacked and self.layer_number:  # OverlayConvertWhiteout, pkg/archive/tar_opts_linux.go.
                if name == OPAQUE:
                    self.make_opaque(parent)
                else:
                    self.create_whiteout(hidden)
            elif name == OPAQUE:
                self.filesystem.remove_below(parent, self.unpacked_paths, whole=False)
            else:
                self.filesystem.remove_path(hidden)
            return
        replaced = self.filesystem.lstat(path) if self.filesystem.exists(path) else None
        if not are_directories(replaced, member):
            self.filesystem.remove_path(path)
        target = None
        if member.type == HARDLINK:  # hardlinkRootPath
            folder, _, name = member.link.rpartition("/")
            target = self.filesystem.lstat(f"{self.filesystem.resolve_lexically(folder)}/{name}")
        self.create_node(path, member, entry, target)
        self.unpacked_paths.add(path)
        if member.type == DIRECTORY:
            self.directories.append(member.path)

    def check_directory(self, path: str) -> None:
        """Sets the times of a directory (applyNaive); fails if another entry replaced it, or a whiteout removed it."""
        self.filesystem.lstat(self.filesystem.resolve_lexically(path))

    def _make_parents(self, path: str) -> None:
        """Creates missing parent directories (mkparent).

        With overlayfs each gets the attributes that it has in the highest of the layers below that have it.
        """
        missing = []
        while path and not self.filesystem.exists(path):
            missing.append(path)
            path = path.rpartition("/")[0]
        if self.filesystem.lstat(path).type != DIRECTORY:
            raise build_error(errno.ENOTDIR)
        for path in reversed(missing):
            directory = DirectoryNode(None, self.layer_number, -1)
            self.filesystem.add_node(path, directory)
            for lower in self.layers[-2::-1]:
                resolved = lower.resolve_lexically(path)
                if not lower.exists(resolved):
                    continue
                node = lower.lstat(resolved)
                if node.type == DIRECTORY:
                    directory.mode, directory.uid, directory.gid = node.mode, node.uid, node.gid
                    directory.xattrs = {name: value for name, value in node.xattrs.items() if not name.startswith(b"trusted.")}
                break
