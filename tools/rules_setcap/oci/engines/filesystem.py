"""A root filesystem in memory that fails with the errors of the operating system."""

from __future__ import annotations

import errno
import os
import posixpath

from rules_setcap.archive.entry import DIRECTORY, SYMLINK
from rules_setcap.diagnostics import limits
from rules_setcap.oci.nodes import DirectoryNode, FilesystemBudget, Node

MAX_USER_LINKS = 255
"""The number of symbolic links that programs follow which resolve paths themselves."""


class Filesystem:
    """A root filesystem whose paths are resolved as the kernel resolves them below chroot(2)."""

    def __init__(self, budget: FilesystemBudget) -> None:
        """Creates an empty root filesystem.

        Args:
          budget: limits the work.
        """
        self.root = DirectoryNode(None, 0, -1)
        self._budget = budget
        self._folders: dict[str, DirectoryNode] = {}  # Memoized results of find_directory().

    def lstat(self, path: str) -> Node:
        """Returns the node at an absolute path; a symbolic link in the last component is not followed.

        Raises:
          OSError: ENOENT, ENOTDIR or ELOOP.
        """
        folder, _, name = path.rpartition("/")
        if not name:
            return self.root
        return _find_child(self.find_directory(folder), name)

    def exists(self, path: str) -> bool:
        """Returns whether lstat() finds a node at an absolute path.

        Raises:
          OSError: ENOTDIR or ELOOP.
        """
        try:
            self.lstat(path)
        except FileNotFoundError:
            return False
        return True

    def find_directory(self, path: str) -> DirectoryNode:
        """Returns the directory at an absolute path, and follows symbolic links.

        Raises:
          OSError: ENOENT, ENOTDIR or ELOOP.
        """
        directory = self._folders.get(path)
        if directory is None:
            node = self.stat(path)
            if not isinstance(node, DirectoryNode):
                raise build_error(errno.ENOTDIR)
            if len(self._folders) > 4096:
                self._folders.clear()
            directory = self._folders[path] = node
        return directory

    def stat(self, path: str, *, beneath: bool = False) -> Node:
        """Returns the node at an absolute path, and follows symbolic links.

        Args:
          path: the path.
          beneath: whether absolute links and ".." in the root are errors, as with RESOLVE_BENEATH of openat2(2).

        Raises:
          OSError: ENOENT, ENOTDIR or ELOOP; EXDEV for an absolute link and EPERM for ".." in the root, if `beneath`.
        """
        trail: list[Node] = [self.root]
        todo = path.split("/")[::-1]
        self._budget.add_steps(len(todo))
        links = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if not isinstance(trail[-1], DirectoryNode):
                raise build_error(errno.ENOTDIR)
            if name == "..":
                if len(trail) > 1:
                    trail.pop()
                elif beneath:
                    raise build_error(errno.EPERM)
                continue
            node = _find_child(trail[-1], name)
            if node.type != SYMLINK:
                trail.append(node)
                continue
            links += 1
            if links > limits.LINKS:
                raise build_error(errno.ELOOP)
            if node.link.startswith("/"):
                if beneath:
                    raise build_error(errno.EXDEV)
                del trail[1:]
            parts = node.link.split("/")
            self._budget.add_steps(len(parts))
            todo += parts[::-1]
        return trail[-1]

    def resolve_lexically(self, path: str) -> str:
        """Returns a path with all symbolic links followed.

        Components that do not exist stay in the path, and ".." removes the component before it from the text, as in
        fs.RootPath of github.com/containerd/continuity, of which github.com/moby/go-archive has a copy.

        Raises:
          OSError: ENOTDIR, or there are too many links.
        """
        followed = 0
        while True:
            resolved, followed_before = "", followed
            self._budget.add_steps(path.count("/"))
            for name in path.split("/"):
                child = posixpath.normpath(f"{resolved}/{name}")
                if child == "/":
                    resolved = ""
                    continue
                node = self.lstat(child) if self.exists(child) else None
                if node is None or node.type != SYMLINK:
                    resolved = child
                    continue
                followed += 1
                if followed > MAX_USER_LINKS:
                    raise build_refusal("too many links")
                resolved = posixpath.normpath(posixpath.join(resolved or "/", node.link or ".")).strip("/")
                resolved = f"/{resolved}" if resolved else ""
            if followed == followed_before:
                return resolved
            path = resolved

    def add_node(self, path: str, node: Node) -> None:
        """Adds a node at an absolute path where there is none.

        Raises:
          OSError: EEXIST, ENOENT, ENOTDIR or ELOOP.
        """
        folder, _, name = path.rpartition("/")
        children = self.find_directory(folder).children
        if name in children:
            raise build_error(errno.EEXIST)
        children[name] = node

    def remove_path(self, path: str) -> None:
        """Removes the node at an absolute path, if there is one, with everything below it.

        Raises:
          OSError: ENOTDIR or ELOOP.
        """
        folder, _, name = path.rpartition("/")
        try:
            removed = self.find_directory(folder).children.pop(name, None)
        except FileNotFoundError:
            return
        if removed is not None and removed.type in (DIRECTORY, SYMLINK):
            self._folders.clear()

    def remove_below(self, path: str, kept: set[str], *, whole: bool) -> None:
        """Removes the paths below a directory that are not in `kept`.

        Args:
          path: the path of the directory; nothing below it is removed if it is a symbolic link.
          kept: the paths to keep, each beginning as `path` does.
          whole: whether the directory itself is removed as well, if `kept` does not have it.
        """
        todo = [(path, self.lstat(path), whole)]
        while todo:
            path, node, may_go = todo.pop()
            if may_go and path not in kept:
                self.remove_path(path)
            elif isinstance(node, DirectoryNode):
                self._budget.add_steps(len(node.children))
                todo += [(f"{path}/{name}", child, True) for name, child in node.children.items()]


def build_refusal(message: str) -> OSError:
    """Returns the error of an engine that refuses an entry by a check of its own."""
    return OSError(errno.EINVAL, message)


def build_error(number: int) -> OSError:
    """Returns the error of the operating system with an errno."""
    return OSError(number, os.strerror(number))


def _find_child(folder: DirectoryNode, name: str) -> Node:
    """Returns the node of a name in a directory; raises OSError (ENOENT) if there is none."""
    node = folder.children.get(name)
    if node is None:
        raise build_error(errno.ENOENT)
    return node
