"""Root filesystems in memory that layers are unpacked into, as a container engine does it on disk.

engines.py has the rules of each engine. An error of the operating system, such as ENOTDIR, is the OSError that the
engine would get; an engine that gets one refuses the image.
"""

from __future__ import annotations

import errno
import os
import posixpath

from . import limits
from .entries import DIRECTORY, SYMLINK
from .rootfs import CAPABILITY, DEVICE, Budget, Directory, Node, is_whiteout_device, xattrs_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping

    from .archive import Member

OPAQUE_ATTRIBUTE = b"trusted.overlay.opaque"
MANY_LINKS = 255
"""Symbolic links that programs follow which resolve paths themselves."""
WHITEOUT_DEVICE = "whiteout"
"""The type of a character device 0:0, which is a whiteout to overlayfs."""


class Filesystem:
    """A root filesystem whose paths are resolved as the kernel resolves them below chroot(2)."""

    def __init__(self, budget: Budget) -> None:
        self.root = Directory(None, 0, -1)
        self._budget = budget
        self._folders: dict[str, Directory] = {}  # Memoized results of folder().

    def lstat(self, path: str) -> Node:
        """Returns what is at an absolute path; a symbolic link in its last part is not followed.

        Raises:
          OSError: ENOENT, ENOTDIR or ELOOP.
        """
        folder, _, name = path.rpartition("/")
        if not name:
            return self.root
        return _child(self.folder(folder), name)

    def exists(self, path: str) -> bool:
        """Returns whether there is something at a path, as lstat().

        Raises:
          OSError: ENOTDIR or ELOOP.
        """
        try:
            self.lstat(path)
        except FileNotFoundError:
            return False
        return True

    def folder(self, path: str) -> Directory:
        """Returns the directory at an absolute path, symbolic links followed.

        Raises:
          OSError: ENOENT, ENOTDIR or ELOOP.
        """
        found = self._folders.get(path)
        if found is None:
            node = self.stat(path)
            if not isinstance(node, Directory):
                raise _error(errno.ENOTDIR)
            if len(self._folders) > 4096:
                self._folders.clear()
            found = self._folders[path] = node
        return found

    def stat(self, path: str, *, beneath: bool = False) -> Node:
        """Returns what is at an absolute path, symbolic links followed.

        Args:
          path: the path.
          beneath: whether absolute links, and ".." in the root, are errors; openat2(2), RESOLVE_BENEATH.

        Raises:
          OSError: ENOENT, ENOTDIR or ELOOP; EXDEV for an absolute link and EPERM for ".." in the root, if `beneath`.
        """
        trail: list[Node] = [self.root]
        todo = path.split("/")[::-1]
        self._budget.step(len(todo))
        links = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if not isinstance(trail[-1], Directory):
                raise _error(errno.ENOTDIR)
            if name == "..":
                if len(trail) > 1:
                    trail.pop()
                elif beneath:
                    raise _error(errno.EPERM)
                continue
            node = _child(trail[-1], name)
            if node.type != SYMLINK:
                trail.append(node)
                continue
            links += 1
            if links > limits.LINKS:
                raise _error(errno.ELOOP)
            if node.link.startswith("/"):
                if beneath:
                    raise _error(errno.EXDEV)
                del trail[1:]
            parts = node.link.split("/")
            self._budget.step(len(parts))
            todo += parts[::-1]
        return trail[-1]

    def resolve(self, path: str) -> str:
        """Returns a path with all symbolic links followed; what is not there stays in it, and ".." is applied to the text.

        github.com/containerd/continuity, fs.RootPath; github.com/moby/go-archive has a copy.

        Raises:
          OSError: ENOTDIR, or there are too many links.
        """
        followed = 0
        while True:
            at, before = "", followed
            self._budget.step(path.count("/"))
            for name in path.split("/"):
                here = posixpath.normpath(f"{at}/{name}")
                if here == "/":
                    at = ""
                    continue
                node = self.lstat(here) if self.exists(here) else None
                if node is None or node.type != SYMLINK:
                    at = here
                    continue
                followed += 1
                if followed > MANY_LINKS:
                    raise refuse("too many links")
                at = posixpath.normpath(posixpath.join(at or "/", node.link or ".")).strip("/")
                at = f"/{at}" if at else ""
            if followed == before:
                return at
            path = at

    def make(self, path: str, node: Node) -> None:
        """Puts a node where nothing is.

        Raises:
          OSError: EEXIST, ENOENT, ENOTDIR or ELOOP.
        """
        folder, _, name = path.rpartition("/")
        children = self.folder(folder).children
        if name in children:
            raise _error(errno.EEXIST)
        children[name] = node

    def remove(self, path: str) -> None:
        """Removes what is at a path, if there is anything, and all below it.

        Raises:
          OSError: ENOTDIR or ELOOP.
        """
        folder, _, name = path.rpartition("/")
        try:
            gone = self.folder(folder).children.pop(name, None)
        except FileNotFoundError:
            return
        if gone is not None and gone.type in (DIRECTORY, SYMLINK):
            self._folders.clear()

    def remove_below(self, path: str, kept: set[str], *, whole: bool) -> None:
        """Removes the paths that are not in `kept` from a directory.

        Args:
          path: of the directory; nothing is removed if it is a symbolic link.
          kept: paths, written as `path` is.
          whole: whether what is at `path` is removed as well.
        """
        todo = [(path, self.lstat(path), whole)]
        while todo:
            path, node, may_go = todo.pop()
            if may_go and path not in kept:
                self.remove(path)
            elif isinstance(node, Directory):
                self._budget.step(len(node.children))
                todo += [(f"{path}/{name}", child, True) for name, child in node.children.items()]


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
        except OSError as error:
            self.refused = member.path, str(error.strerror)

    def end(self) -> None:
        """Ends a layer."""
        if not self.refused:
            for path in self.directories:
                try:
                    self.check_directory(path)
                except OSError as error:
                    self.refused = path, str(error.strerror)

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
                raise _error(errno.EPERM)
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


def refuse(message: str) -> OSError:
    """Returns the error of an engine that refuses an entry itself."""
    return OSError(errno.EINVAL, message)


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


def _child(folder: Directory, name: str) -> Node:
    node = folder.children.get(name)
    if node is None:
        raise _error(errno.ENOENT)
    return node


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
