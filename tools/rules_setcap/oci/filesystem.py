"""A root filesystem in memory, with the errors of the operating system."""

from __future__ import annotations

import errno
import os
import posixpath

from rules_setcap.archive.entry import DIRECTORY, SYMLINK
from rules_setcap.diagnostics import limits
from rules_setcap.oci.nodes import Budget, Directory, Node

MANY_LINKS = 255
"""Symbolic links that programs follow which resolve paths themselves."""


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
                raise error(errno.ENOTDIR)
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
                raise error(errno.ENOTDIR)
            if name == "..":
                if len(trail) > 1:
                    trail.pop()
                elif beneath:
                    raise error(errno.EPERM)
                continue
            node = _child(trail[-1], name)
            if node.type != SYMLINK:
                trail.append(node)
                continue
            links += 1
            if links > limits.LINKS:
                raise error(errno.ELOOP)
            if node.link.startswith("/"):
                if beneath:
                    raise error(errno.EXDEV)
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
            raise error(errno.EEXIST)
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


def refuse(message: str) -> OSError:
    """Returns the error of an engine that refuses an entry itself."""
    return OSError(errno.EINVAL, message)


def _child(folder: Directory, name: str) -> Node:
    node = folder.children.get(name)
    if node is None:
        raise error(errno.ENOENT)
    return node


def error(number: int) -> OSError:
    """Returns an error of the operating system."""
    return OSError(number, os.strerror(number))
