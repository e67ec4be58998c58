"""How container engines unpack layers, each by its own rules, where they are not the same.

The rules are those of containerd 2.1, Docker Engine 28.5, podman 5.8 and umoci 0.6; each names the function that has it.
tests/engines compares the root filesystems that come of them with those of the engines themselves.
"""

from __future__ import annotations

import posixpath

from .entries import DIRECTORY, FILE, HARDLINK, SYMLINK
from .rootfs import OPAQUE, WHITEOUT, Budget, Directory, Node
from .unpacking import Filesystem, Unpacking, both_directories, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .archive import Member

_MANY_LINKS = 255
_AUFS = "/.wh..wh."
_AUFS_LINKS = "/.wh..wh.plnk"


class Containerd(Unpacking):
    """containerd, pkg/archive/tar.go: applyNaive and createTarFile; core/diff/apply/apply_linux.go: apply.

    With overlayfs the first layer is a bind mount, which is unpacked into as with the native snapshotter.
    """

    keeps_trusted = False  # setxattr, pkg/archive/tar_unix.go.

    def unpack(self, member: Member, entry: int) -> None:
        folder, _, name = member.path.rpartition("/")
        parent = self._resolve(self.files, folder)
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
            target = self.files.lstat(f"{self._resolve(self.files, folder)}/{name}")
        self.create(path, member, entry, target)
        self.done.add(path)

    def check_directory(self, path: str) -> None:
        """applyNaive: times of directories are set last; it fails if an entry replaced one, or a whiteout removed it."""
        self.files.lstat(self._resolve(self.files, path))

    def _resolve(self, files: Filesystem, path: str) -> str:
        """fs.RootPath, github.com/containerd/continuity: what is not there stays in the path, and ".." is applied to the text."""
        followed = 0
        while True:
            at, before = "", followed
            for name in path.split("/"):
                if not name:
                    continue
                here = posixpath.normpath(f"{at}/{name}")
                if here == "/":
                    at = ""
                    continue
                node = files.lstat(here) if files.exists(here) else None
                if node is None or node.type != SYMLINK:
                    at = here
                    continue
                followed += 1
                if followed > _MANY_LINKS:
                    raise refuse("too many links")
                at = posixpath.normpath(posixpath.join(at or "/", node.link or "."))
                at = "/" + at.lstrip("/") if at.strip("/") else ""
            if followed == before:
                return at
            path = at

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
                real = self._resolve(lower, path)
                if not lower.exists(real):
                    continue
                node = lower.lstat(real)
                if node.type == DIRECTORY:
                    made.mode, made.uid, made.gid = node.mode, node.uid, node.gid
                    made.xattrs = {name: value for name, value in node.xattrs.items() if not name.startswith(b"trusted.")}
                break


class Moby(Unpacking):
    """Docker, github.com/moby/go-archive 0.1: Unpack (overlay2) and UnpackLayer (vfs), both below chroot(2)."""

    def __init__(self, stacked: bool, budget: Budget) -> None:
        super().__init__(stacked, budget)
        self._aufs: dict[str, Member] = {}
        self._seen: set[str] = set()

    def begin(self) -> None:
        super().begin()
        self._seen, self._aufs = set(), {}

    def unpack(self, member: Member, entry: int) -> None:
        path = member.path
        if path in self._seen:  # jsonPacker.AddEntry, github.com/vbatts/tar-split, through which both read layers.
            raise refuse("two entries with one path")
        self._seen.add(path)
        folder, _, name = path.rpartition("/")
        self._make_parents(folder)
        if not self.stacked and path.startswith(_AUFS):
            # UnpackLayer: AUFS's own files are not unpacked; hard links may lead to them.
            if path.startswith(_AUFS_LINKS) and member.type == FILE:
                self._aufs[name] = member
            if name != OPAQUE or folder:
                return
        if name.startswith(WHITEOUT):
            self._whiteout(folder, name)
            return
        known = self.files.lstat(path) if self.files.exists(path) else None
        if not both_directories(known, member):
            self.files.remove(path)
        target = None
        if member.type == HARDLINK:
            if not self.stacked and member.link.startswith(_AUFS_LINKS):
                linked = self._aufs.get(member.link.rpartition("/")[2])
                if linked is None:
                    raise refuse("invalid aufs hardlink")
                member = linked
            else:
                target = self.files.lstat(member.link)
        self.create(path, member, entry, target)
        self.done.add(path)

    def check_directory(self, path: str) -> None:
        """Times of directories are set last; it fails if there is nothing any more."""
        self.files.stat(path)

    def _whiteout(self, folder: str, name: str) -> None:
        hidden = f"{folder}/{name[len(WHITEOUT) :]}"
        if self.stacked:  # overlayWhiteoutConverter.ConvertRead, archive_linux.go.
            if name == OPAQUE:
                self.make_opaque(folder)
            else:
                self.make_whiteout(hidden)
        elif name != OPAQUE:
            self.files.remove(hidden)
        else:
            # The paths that it remembers are those of the entries, whatever symbolic links are in them.
            self.files.remove_below(folder, self.done, whole=False)

    def _make_parents(self, folder: str) -> None:
        """createImpliedDirectories: nothing is made where a symbolic link leads nowhere."""
        try:
            if not folder or self.files.exists(folder):
                return
        except NotADirectoryError:
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


class Podman(Moby):
    """podman, go.podman.io/storage/pkg/archive: Unpack (overlay) and UnpackLayer (vfs), both below chroot(2)."""

    def clears(self, target: Node, member: Member) -> bool:
        """idtools.SafeLchown: a file that has the owner already is left alone."""
        return (target.uid, target.gid) != (member.uid, member.gid)

    def _whiteout(self, folder: str, name: str) -> None:
        """overlayWhiteoutConverter.ConvertReadWithHandler: a whiteout below a whiteout is passed over."""
        try:
            super()._whiteout(folder, name)
        except NotADirectoryError:
            if not self.stacked or name == OPAQUE:
                raise


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
        at = ""
        todo = path.split("/")[::-1]
        followed = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                at = at.rpartition("/")[0]
                continue
            here = f"{at}/{name}"
            node = self._known(here)
            if node is None or node.type != SYMLINK:
                at = here
                continue
            followed += 1
            if followed > _MANY_LINKS:
                raise refuse("too many links")
            if node.link.startswith("/"):
                at = ""
            parts = node.link.split("/")
            self._budget.step(len(parts))
            todo += parts[::-1]
        return at

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
