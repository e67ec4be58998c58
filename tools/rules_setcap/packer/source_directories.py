"""Lists source directories, whose contents Bazel does not know."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import FILE, MODES
from rules_setcap.archive.paths import normalize_path
from rules_setcap.packer import sources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_setcap.archive.entry import Entry
    from rules_setcap.diagnostics.problems import Problems


def list_directory(top: Entry, file_mode: int, problems: Problems) -> Iterator[Entry]:
    """Yields the entries of a directory and of everything in it.

    Args:
      top: the entry of the directory, with its source.
      file_mode: the permissions of the files in it.
      problems: the collector of problems.
    """
    file_template = top._replace(type=FILE, source="", mode=file_mode)
    return _list_below(top, "", file_template, os.path.realpath(top.source), frozenset(), problems)


def default_file_mode(template: Entry) -> int:
    """Returns the permissions of the files in a directory: those of the template if it has the type of a file."""
    return template.mode if template.type == FILE else MODES[FILE]


def _list_below(
    top: Entry, below: str, file_template: Entry, root: str, ancestors: frozenset[str], problems: Problems
) -> Iterator[Entry]:
    """Yields the entries of one directory.

    Args:
      top: the entry of the directory that the user named.
      below: the path from `top` to this directory; "" or a path that starts with "/".
      file_template: a file with the mode and owner of all files.
      root: the real path of `top`.
      ancestors: real paths of the directories that lead here; a link must not lead back to one of them.
      problems: the collector of problems.
    """
    real_directory = os.path.realpath(top.source + below)
    if real_directory in ancestors:
        problems.add(top.attribute, top.source + below, "a link to a directory that it is in")
        return
    yield top._replace(path=top.path + below, source="")
    for name in sorted(os.listdir(top.source + below)):
        relative = f"{below}/{name}"
        source, path = top.source + relative, top.path + relative
        try:
            normalize_path(relative)
        except ValueError as error:
            problems.add(top.attribute, path, str(error))
            continue
        target = _read_kept_link(source, relative, top.source, root) if os.path.islink(source) else None
        if target is not None:
            entry = sources.make_symlink(target, top, path, problems)
        elif os.path.isdir(source):
            yield from _list_below(top, relative, file_template, root, ancestors | {real_directory}, problems)
            continue
        else:
            entry = sources.read_source(source, file_template, path, problems)
        if entry:
            yield entry


def _read_kept_link(link: str, relative: str, source: str, root: str) -> str | None:
    """Reads a symbolic link in a source directory.

    A relative link is kept if it stays within the directory, or leads nowhere. An absolute one is kept if it leads out of
    the repository: what it leads to here depends on the machine. Only in external repositories it is followed, because
    repository rules make such links.

    Args:
      link: the path of the link.
      relative: its path in the directory; it starts with "/".
      source: the path of the directory.
      root: the real path of the directory.

    Returns:
      The target as the link has it; None if the link is to be followed.

    Raises:
      OSError: the link cannot be read.
    """
    text, target = os.readlink(link), os.path.realpath(link)
    if text.startswith("/"):
        kept = not source.startswith("external/") and not _is_below(_find_repository(source, root), text, target)
    else:
        named = os.path.normpath(os.path.join(os.path.dirname(relative)[1:], text))
        kept = (named.split("/")[0] != ".." and target.startswith(root + "/")) or not os.path.exists(link)
    return text if kept else None


def _find_repository(source: str, root: str) -> str:
    """Returns the directory that `source` is relative to: its real path without the components that both end with.

    An absolute source comes from Nix, whose store has no repositories. There, the directory stands for itself.
    """
    if source.startswith("/"):
        return root
    names, real_names = source.split("/"), root.split("/")
    while names and real_names and names[-1] == real_names[-1]:
        names.pop()
        real_names.pop()
    return "/".join(real_names)


def _is_below(directory: str, *paths: str) -> bool:
    return any(os.path.normpath(path).startswith(directory + "/") for path in paths)
