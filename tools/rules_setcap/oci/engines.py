"""How container engines unpack layers, each by its own rules, where they are not the same.

The rules are those of containerd 2.1, Docker Engine 28.5 (as Debian builds it, with go-archive 0.3), podman 5.8 and umoci
0.6; each names the function that has it. tests/engines compares the root filesystems that come of them with those of the
engines themselves.
"""

from __future__ import annotations

import errno

from rules_setcap.archive.entry import DIRECTORY, FILE, HARDLINK, SYMLINK
from rules_setcap.oci import symlinks
from rules_setcap.oci.filesystem import MANY_LINKS, refuse
from rules_setcap.oci.nodes import OPAQUE, WHITEOUT, Budget, Directory, Node, TooManyLinks
from rules_setcap.oci.unpacking import Unpacking, both_directories

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from rules_setcap.archive.reader import Member

_AUFS = "/.wh..wh."
_AUFS_LINKS = "/.wh..wh.plnk"


class Containerd(Unpacking):
    """containerd, pkg/archive/tar.go: applyNaive and createTarFile; core/diff/apply/apply_linux.go: apply.

    With overlayfs the first layer is a bind mount, which is unpacked into as with the native snapshotter.
    """

    keeps_trusted = False  # setxattr, pkg/archive/tar_unix.go.

    def unpack(self, member: Member, entry: int) -> None:
        folder, _, name = member.path.rpartition("/")
        parent = self.files.resolve(folder)
        path = f"{parent}/{name}"
        self._make_parents(parent)
        if name.startswith(WHITEOUT):
            hidden = f"{parent}/{name[len(WHITEOUT) :]}"
            if self.stacked and self.number:  # OverlayConvertWhiteout, pkg/archive/tar_opts_linux.go.
                if name == OPAQUE:
                    self.make_opaque(parent)
                else:
                    self.make_whiteout(hidden)
            elif name == OPAQUE:
                self.files.remove_below(parent, self.done, whole=False)
            else:
                self.files.remove(hidden)
            return
        known = self.files.lstat(path) if self.files.exists(path) else None
        if not both_directories(known, member):
            self.files.remove(path)
        target = None
        if member.type == HARDLINK:  # hardlinkRootPath
            folder, _, name = member.link.rpartition("/")
            target = self.files.lstat(f"{self.files.resolve(folder)}/{name}")
        self.create(path, member, entry, target)
        self.done.add(path)
        if member.type == DIRECTORY:
            self.directories.append(member.path)

    def check_directory(self, path: str) -> None:
        """applyNaive: times of directories are set last; it fails if an entry replaced one, or a whiteout removed it."""
        self.files.lstat(self.files.resolve(path))

    def _make_parents(self, path: str) -> None:
        """mkparent: with overlayfs a directory gets the attributes that it has in the highest of the layers below."""
        missing = []
        while path and not self.files.exists(path):
            missing.append(path)
            path = path.rpartition("/")[0]
        if self.files.lstat(path).type != DIRECTORY:
            raise NotADirectoryError(20, "Not a directory")
        for path in reversed(missing):
            made = Directory(None, self.number, -1)
            self.files.make(path, made)
            for lower in self.layers[-2::-1]:
                real = lower.resolve(path)
                if not lower.exists(real):
                    continue
                node = lower.lstat(real)
                if node.type == DIRECTORY:
                    made.mode, made.uid, made.gid = node.mode, node.uid, node.gid
                    made.xattrs = {name: value for name, value in node.xattrs.items() if not name.startswith(b"trusted.")}
                break


class _Split(Unpacking):
    """An engine that reads layers through github.com/vbatts/tar-split; what Docker and podman have in common.

    With an overlay driver they call Unpack, else UnpackLayer, both below chroot(2).
    """

    def __init__(self, stacked: bool, budget: Budget) -> None:
        super().__init__(stacked, budget)
        self.parents_last = False  # Whether what is there is removed before parents are made.
        self._aufs: dict[str, Member] = {}
        self._seen: set[str] = set()

    def begin(self) -> None:
        super().begin()
        self._seen, self._aufs = set(), {}

    def unpack(self, member: Member, entry: int) -> None:
        if member.path in self._seen:  # jsonPacker.AddEntry
            raise refuse("two entries with one path")
        self._seen.add(member.path)
        if not self.stacked and member.path.startswith(_AUFS) and member.path != f"/{OPAQUE}":
            # UnpackLayer: AUFS's own files are not unpacked; hard links may lead to them.
            if member.path.startswith(_AUFS_LINKS) and member.type == FILE:
                self._aufs[member.path.rpartition("/")[2]] = member
            return
        path = self.place(member.path)
        folder, _, name = path.rpartition("/")
        if not self.parents_last or name.startswith(WHITEOUT):
            self.make_parents(folder)
        if name.startswith(WHITEOUT):
            self.apply_whiteout(folder, name)
            return
        try:
            known = self.files.lstat(path) if self.files.exists(path) else None
        except NotADirectoryError:
            known = None
        if known is not None and not both_directories(known, member):
            self.files.remove(path)
        if self.parents_last:
            self.make_parents(folder)
        target = None
        if member.type == HARDLINK:
            if not self.stacked and member.link.startswith(_AUFS_LINKS):
                linked = self._aufs.get(member.link.rpartition("/")[2])
                if linked is None:
                    raise refuse("invalid aufs hardlink")
                member = linked
            else:
                target = self.files.lstat(self.place(member.link))
        self.create(path, member, entry, target)
        self.done.add(path)
        if member.type == DIRECTORY:
            self.directories.append(path)

    def place(self, path: str) -> str:
        """Returns the path that the engine uses for that of an entry, or of a hard link's target."""
        return path

    def check_directory(self, path: str) -> None:
        """Times of directories are set last; it fails if there is nothing any more."""
        self.files.stat(path)

    def apply_whiteout(self, folder: str, name: str) -> None:
        """Applies a whiteout, or an opaque marker."""
        hidden = f"{folder}/{name[len(WHITEOUT) :]}"
        if self.stacked:  # overlayWhiteoutConverter
            if name == OPAQUE:
                self.make_opaque(folder)
            else:
                self.make_whiteout(hidden)
        elif name == OPAQUE:
            self.hide_below(folder)
        else:
            self.files.remove(hidden)

    def hide_below(self, folder: str) -> None:
        """Applies an opaque marker without overlayfs: what this layer has no entry for goes."""
        self.files.remove_below(folder, self.done, whole=False)

    def make_parents(self, folder: str) -> None:
        """Makes the directories that lead to an entry; none where a symbolic link leads nowhere."""
        if not folder or self.files.exists(folder):
            return
        missing: list[str] = []
        at = folder
        while at:
            try:
                self.files.stat(at)
                break
            except FileNotFoundError:
                missing.append(at)
            at = at.rpartition("/")[0]
        for at in reversed(missing):
            self.files.make(at, Directory(None, self.number, -1))


class Moby(_Split):
    """Docker, github.com/moby/go-archive 0.3: Unpack and UnpackLayer."""

    def __init__(self, stacked: bool, budget: Budget) -> None:
        super().__init__(stacked, budget)
        self.parents_last = stacked

    def place(self, path: str) -> str:
        """resolveArchivePath: symbolic links are followed where a parent is not there, or is behind an absolute link."""
        folder, _, name = path.rpartition("/")
        try:
            self.files.stat(folder, beneath=True)
            return path
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EXDEV):
                raise
        return f"{self.files.resolve(folder)}/{name}"

    def apply_whiteout(self, folder: str, name: str) -> None:
        """overlayWhiteoutConverter.ConvertRead opens the directory, which fails if that is a device."""
        if self.stacked and self.files.stat(folder).type not in (DIRECTORY, FILE):
            raise OSError(errno.ENXIO, "No such device or address")
        super().apply_whiteout(folder, name)

    def hide_below(self, folder: str) -> None:
        """UnpackLayer: the directory is resolved; the paths of entries that it remembers may not be."""
        self.files.lstat(folder)
        super().hide_below(self.files.resolve(folder))


class Podman(_Split):
    """podman, go.podman.io/storage/pkg/archive: Unpack and UnpackLayer."""

    def clears(self, target: Node, member: Member) -> bool:
        """idtools.SafeLchown: a file that has the owner already is left alone."""
        return (target.uid, target.gid) != (member.uid, member.gid)

    def apply_whiteout(self, folder: str, name: str) -> None:
        """overlayWhiteoutConverter.ConvertReadWithHandler: a whiteout below a whiteout is passed over."""
        try:
            super().apply_whiteout(folder, name)
        except NotADirectoryError:
            if not self.stacked or name == OPAQUE:
                raise

    def make_parents(self, folder: str) -> None:
        try:
            super().make_parents(folder)
        except NotADirectoryError:
            pass  # What follows fails, but for a whiteout.


class Umoci(Unpacking):
    """umoci, oci/layer/tar_extract.go: UnpackEntry and ociWhiteout."""

    link_has_metadata = False

    def unpack(self, member: Member, entry: int) -> None:
        folder, _, name = member.path.rpartition("/")
        parent = self._resolve(folder)
        path = f"{parent}/{name}"
        if name.startswith(WHITEOUT):
            self._whiteout(parent, "" if name == OPAQUE else name[len(WHITEOUT) :])
            return
        known, before = self._known(path), self._known(parent)
        self._make_parents(parent)
        if before is not None and before.type != DIRECTORY:
            # It restores the attributes of the parent, and does not notice that it was a file.
            made = self.files.lstat(parent)
            made.mode, made.uid, made.gid = before.mode, before.uid, before.gid
        if known is not None and not both_directories(known, member):
            self.files.remove(path)
        target = None
        if member.type == HARDLINK:
            folder, _, name = member.link.rpartition("/")
            target = self.files.lstat(f"{self._resolve(folder)}/{name}")
        self.create(path, member, entry, target)
        while path:
            self.done.add(path)
            path = path.rpartition("/")[0]

    def _whiteout(self, parent: str, name: str) -> None:
        """ociWhiteout: hides what the layers below have; a layer's own paths, and those above them, stay."""
        path = f"{parent}/{name}" if name else parent
        top = self._known(path)
        if top is None:
            return
        todo = [(path, top, bool(name))]
        while todo:
            path, node, may_go = todo.pop()
            if may_go and path not in self.done:
                self.files.remove(path)
            elif isinstance(node, Directory):
                self._budget.step(len(node.children))
                todo += [(f"{path}/{each}", child, True) for each, child in node.children.items()]

    def _resolve(self, path: str) -> str:
        """SecureJoinVFS, github.com/cyphar/filepath-securejoin: what is not there stays in the path."""
        try:
            return symlinks.resolve(path, self._target, self._budget.step, MANY_LINKS)
        except TooManyLinks:
            raise refuse("too many links") from None

    def _target(self, path: str) -> str | None:
        """Returns the target of a symbolic link; None if there is none at the path."""
        node = self._known(path)
        return node.link if node is not None and node.type == SYMLINK else None

    def _known(self, path: str) -> Node | None:
        """Returns what is at a path; None if there is nothing, or a file on the way."""
        try:
            return self.files.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _make_parents(self, path: str) -> None:
        """TarExtractor.mkdirAll: a file on the way is replaced."""
        missing = []
        while path:
            node = self._known(path)
            if node is not None:
                if node.type == DIRECTORY:
                    break
                self.files.remove(path)
            missing.append(path)
            path = path.rpartition("/")[0]
        for each in reversed(missing):
            self.files.make(each, Directory(None, self.number, -1))


ENGINES: dict[str, Callable[[Budget], Unpacking]] = {
    "containerd overlayfs": lambda budget: Containerd(True, budget),
    "containerd native": lambda budget: Containerd(False, budget),
    "docker overlay2": lambda budget: Moby(True, budget),
    "docker vfs": lambda budget: Moby(False, budget),
    "podman overlay": lambda budget: Podman(True, budget),
    "podman vfs": lambda budget: Podman(False, budget),
    "umoci": lambda budget: Umoci(False, budget),
}
"""Engines by name and storage driver. The first that takes an image is the reference: its root filesystem is what we print."""
