"""The workspace at a second path: a bind mount, or a copy."""

from __future__ import annotations

import os
import re
import shutil
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILES = ("MODULE.bazel", "WORKSPACE", "WORKSPACE.bazel", ".bazelrc")
# A path that leaves the workspace, such as the one of local_path_override.
_OUTSIDE = re.compile(r"(?<![\w./-])(\.\.(?:/[\w+@~.-]+)*)(?![\w.])")


def list_mounts(workspace: str, directory: str) -> tuple[str, list[tuple[str, str]]]:
    """Chooses the second path of a workspace.

    The module files of a workspace may name directories outside it, relative to it, such as "../rules". They must lead to the
    same directories at the second path too.

    Args:
      workspace: the absolute path of the workspace.
      directory: the absolute path of an empty directory.

    Returns:
      The second path of the workspace, below `directory`, and what has to be mounted or copied: pairs of a path and its second
      path. The first pair is the workspace, or a directory that has it and that it names.
    """
    paths = {reference: os.path.normpath(os.path.join(workspace, reference)) for reference in _list_references(workspace)}
    top = min((path for path in paths.values() if (workspace + "/").startswith(path + "/")), key=len, default=workspace)
    inner = os.path.relpath(workspace, top)
    others = {reference: path for reference, path in paths.items() if not (path + "/").startswith(top + "/")}
    # A reference may leave a directory and enter it again, so the levels are those of its text.
    depth = max((os.path.normpath(os.path.join(inner, reference)).split("/").count("..") for reference in others), default=0)
    levels = [f"level{number}" for number in range(1, depth + 1)]
    target = os.path.join(directory, *levels, "copy_of_" + os.path.basename(top))
    moved = os.path.normpath(os.path.join(target, inner))
    pairs = [(top, target)]
    pairs += [(path, os.path.normpath(os.path.join(moved, reference))) for reference, path in others.items()]
    return moved, pairs


def _list_references(workspace: str) -> list[str]:
    """Returns the paths outside a workspace that its module files name relative to it and that exist."""
    references: set[str] = set()
    for name in _FILES:
        path = os.path.join(workspace, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                references.update(os.path.normpath(match[1]) for match in _OUTSIDE.finditer(file.read()))
    return sorted(path for path in references if path.startswith("..") and os.path.exists(os.path.join(workspace, path)))


def make_mount_points(mounts: list[tuple[str, str]]) -> None:
    """Makes the empty directories and files at which list_mounts() mounts."""
    for source, target in mounts:
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            open(target, "wb").close()


def replace_mount_points(mounts: list[tuple[str, str]]) -> None:
    """Puts symbolic links in place of the mount points, so that links into a workspace lead somewhere outside the namespace too."""
    for source, target in mounts:
        if os.path.isdir(target) and not os.path.islink(target):
            os.rmdir(target)
        elif os.path.isfile(target):
            os.unlink(target)
        os.symlink(source, target)


def copy_workspace(pairs: list[tuple[str, str]]) -> None:
    """Copies the first of the pairs that list_mounts() returns, and makes links to the others.

    The links that Bazel makes in a workspace (bazel-bin ...) are not copied. Symbolic links are copied as links.
    """
    (source, target), *others = pairs
    shutil.copytree(source, target, symlinks=True, ignore=_ignore_bazel_links)
    for path, link in others:
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(path, link)


def _ignore_bazel_links(directory: str, names: list[str]) -> list[str]:
    return list(_list_bazel_links(directory, names))


def _list_bazel_links(directory: str, names: list[str]) -> Iterator[str]:
    for name in names:
        if name.startswith("bazel-") and os.path.islink(os.path.join(directory, name)):
            yield name


def find_unreadable(pairs: list[tuple[str, str]]) -> str:
    """Returns a file or directory to be mounted that other users may not read; "" if they may read everything."""
    for top, _ in pairs:
        if not _is_readable(top):
            return top
        for directory, directories, files in os.walk(top):
            directories[:] = [name for name in directories if name != ".git"]
            for name in (*directories, *files):
                path = os.path.join(directory, name)
                if not _is_readable(path):
                    return path
    return ""


def _is_readable(path: str) -> bool:
    """Returns whether the mode of a file lets everyone read it, or that of a directory lets everyone enter it."""
    mode = os.lstat(path).st_mode
    needed = 0o5 if stat.S_ISDIR(mode) else 0o4
    return stat.S_ISLNK(mode) or mode & needed == needed
