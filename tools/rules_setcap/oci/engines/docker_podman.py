"""Unpacks layers by the rules of Docker and podman, whose code has a common origin."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, FILE, HARDLINK
from rules_setcap.oci.engines.filesystem import build_error, build_refusal
from rules_setcap.oci.engines.unpacker import Unpacker, are_directories
from rules_setcap.oci.nodes import OPAQUE, WHITEOUT, DirectoryNode, FilesystemBudget, Node

if TYPE_CHECKING:
    from rules_setcap.archive.reader import Member

_AUFS_FILES = "/.wh..wh."
_AUFS_LINKS = "/.wh..wh.plnk"  # The directory of files to which hard links lead.


class _TarSplitUnpacker(Unpacker):
    """The rules that Docker and podman have in common; both read layers through github.com/vbatts/tar-split.

    With an overlay driver they call Unpack, otherwise UnpackLayer, both below chroot(2).

    Attributes:
      replaces_before_parents: bool, whether the engine removes what is at the path of an entry before it creates the parent
        directories.
    """

    def __init__(self, stacked: bool, budget: FilesystemBudget) -> None:
        """Starts without layers."""
        super().__init__(stacked, budget)
        self.replaces_before_parents = False
        self._aufs_links: dict[str, Member] = {}  # Entries of AUFS's files, by name.
        self._entry_paths: set[str] = set()

    def begin_layer(self) -> None:
        """Begins the next layer."""
        super().begin_layer()
        self._entry_paths, self._aufs_links = set(), {}

    def unpack_entry(self, member: Member, entry: int) -> None:
        """Unpacks an entry (Unpack or UnpackLayer)."""
        if member.path in self._entry_paths:  # jsonPacker.AddEntry
            raise build_refusal("two entries with one path")
        self._entry_paths.add(member.path)
        if not self.stacked and member.path.startswith(_AUFS_FILES) and member.path != f"/{OPAQUE}":
            # UnpackLayer: the files of AUFS itself are not unpacked; hard links may lead to them.
            if member.path.startswith(_AUFS_LINKS) and member.type == FILE:
                self._aufs_links[member.path.rpartition("/")[2]] = member
            return
        path = self.resolve_entry_path(member.path)
        folder, _, name = path.rpartition("/")
        if not self.replaces_before_parents or name.startswith(WHITEOUT):
            self.make_parents(folder)
        if name.startswith(WHITEOUT):
            self.apply_whiteout(folder, name)
            return
        try:
            replaced = self.filesystem.lstat(path) if self.filesystem.exists(path) else None
        except NotADirectoryError:
            replaced = None
        if replaced is not None and not are_directories(replaced, member):
            self.filesystem.remove_path(path)
        if self.replaces_before_parents:
            self.make_parents(folder)
        target = None
        if member.type == HARDLINK:
            if not self.stacked and member.link.startswith(_AUFS_LINKS):
                linked = self._aufs_links.get(member.link.rpartition("/")[2])
                if linked is None:
                    raise build_refusal("invalid aufs hardlink")
                member = linked
            else:
                target = self.filesystem.lstat(self.resolve_entry_path(member.link))
        self.create_node(path, member, entry, target)
        self.unpacked_paths.add(path)
        if member.type == DIRECTORY:
            self.directories.append(path)

    def resolve_entry_path(self, path: str) -> str:
        """Returns the path at which the engine unpacks an entry, or looks for the target of a hard link."""
        return path

    def check_directory(self, path: str) -> None:
        """Sets the times of a directory; fails if its path does not exist any more."""
        self.filesystem.stat(path)

    def apply_whiteout(self, folder: str, name: str) -> None:
        """Applies a whiteout or an opaque whiteout.

        Args:
          folder: the path of the directory.
          name: the name of the whiteout.
        """
        hidden = f"{folder}/{name[len(WHITEOUT) :]}"
        if self.stacked:  # overlayWhiteoutConverter
            if name == OPAQUE:
                self.make_opaque(folder)
            else:
                self.create_whiteout(hidden)
        elif name == OPAQUE:
            self.apply_opaque(folder)
        else:
            self.filesystem.remove_path(hidden)

    def apply_opaque(self, folder: str) -> None:
        """Applies an opaque whiteout without overlayfs: removes everything for which the layer has no entry."""
        self.filesystem.remove_below(folder, self.unpacked_paths, whole=False)

    def make_parents(self, folder: str) -> None:
        """Creates the missing parent directories of an entry; creates none if a symbolic link is dangling."""
        if not folder or self.filesystem.exists(folder):
            return
        missing: list[str] = []
        path = folder
        while path:
            try:
                self.filesystem.stat(path)
                break
            except FileNotFoundError:
                missing.append(path)
            path = path.rpartition("/")[0]
        for path in reversed(missing):
            self.filesystem.add_node(path, DirectoryNode(None, self.layer_number, -1))


class DockerUnpacker(_TarSplitUnpacker):
    """The rules of Docker: Unpack and UnpackLayer of github.com/moby/go-archive 0.3."""

    def __init__(self, stacked: bool, budget: FilesystemBudget) -> None:
        """Starts without layers."""
        super().__init__(stacked, budget)
        self.replaces_before_parents = stacked

    def resolve_entry_path(self, path: str) -> str:
        """Follows symbolic links if a parent directory does not exist, or is behind an absolute link (resolveArchivePath)."""
        folder, _, name = path.rpartition("/")
        try:
            self.filesystem.stat(folder, beneath=True)
            return path
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EXDEV):
                raise
        return f"{self.filesystem.resolve_lexically(folder)}/{name}"

    def apply_whiteout(self, folder: str, name: str) -> None:
        """Opens the directory first, which fails if it is a device (overlayWhiteoutConverter.ConvertRead)."""
        if self.stacked and self.filesystem.stat(folder).type not in (DIRECTORY, FILE):
            raise build_error(errno.ENXIO)
        super().apply_whiteout(folder, name)

    def apply_opaque(self, folder: str) -> None:
        """Resolves the directory, but not the paths of entries that the engine remembers (UnpackLayer)."""
        self.filesystem.lstat(folder)
        super().apply_opaque(self.filesystem.resolve_lexically(folder))


class PodmanUnpacker(_TarSplitUnpacker):
    """The rules of podman: Unpack and UnpackLayer of go.podman.io/storage/pkg/archive."""

    def calls_chown(self, target: Node, member: Member) -> bool:
        """Returns whether the owner of the file differs from that of the entry (idtools.SafeLchown)."""
        return (target.uid, target.gid) != (member.uid, member.gid)

    def apply_whiteout(self, folder: str, name: str) -> None:
        """Ignores a whiteout below a whiteout (overlayWhiteoutConverter.ConvertReadWithHandler)."""
        try:
            super().apply_whiteout(folder, name)
        except NotADirectoryError:
            if not self.stacked or name == OPAQUE:
                raise

    def make_parents(self, folder: str) -> None:
        """Creates the missing parent directories of an entry; creates none below a file."""
        with contextlib.suppress(NotADirectoryError):  # Every entry but a whiteout fails in the next step.
            super().make_parents(folder)
