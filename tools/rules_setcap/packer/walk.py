"""Reads a source directory, whose contents Bazel does not know."""

from __future__ import annotations

import os

from rules_setcap.archive.entry import DIRECTORY, FILE, MODES
from rules_setcap.archive.paths import normalize_path
from rules_setcap.diagnostics.errors import problem
from rules_setcap.packer import entries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from rules_setcap.archive.entry import Entry


def walk(top: Entry, problems: list[str]) -> Iterator[Entry]:
    """Yields the entries of a directory and of all that is in it.

    Args:
      top: the entry that the user named, with its source.
      problems: gets a message for each problem.
    """
    return _walk(top, "", os.path.realpath(top.source), frozenset(), problems)


def _walk(top: Entry, below: str, root: str, above: frozenset[str], problems: list[str]) -> Iterator[Entry]:
    """Yields the entries of one directory.

    Args:
      top: as above.
      below: the path from `top` to this directory; "" or a path that starts with "/".
      root: the real path of `top`.
      above: real paths of the directories that lead here, which a link must not lead back to.
      problems: as above.
    """
    here = os.path.realpath(top.source + below)
    if here in above:
        problems.append(problem(top.attribute, top.source + below, "a link to a directory that it is in"))
        return
    yield top._replace(path=top.path + below, type=DIRECTORY, source="", mode=MODES[DIRECTORY])
    for name in sorted(os.listdir(top.source + below)):
        at = f"{below}/{name}"
        source, path = top.source + at, top.path + at
        try:
            normalize_path(at)
        except ValueError as error:
            problems.append(problem(top.attribute, path, str(error)))
            continue
        text = _text_of_link(source, at, top.source, root) if os.path.islink(source) else None
        if text is not None:
            yield from entries.symlink(text, top, path, problems)
        elif os.path.isdir(source):
            yield from _walk(top, at, root, above | {here}, problems)
        else:
            mode = top.mode if top.type == FILE else MODES[FILE]
            like = top._replace(type=FILE, mode=mode)
            yield from entries.from_source(source, like, path, problems)


def _text_of_link(link: str, below: str, source: str, root: str) -> str | None:
    """Reads a symbolic link in a source directory.

    A relative link is kept if it stays within the directory, or leads nowhere. An absolute one is kept if it leads out of
    the repository: what it leads to here depends on the machine. Only in external repositories it is followed, because
    repository rules make such links.

    Args:
      link: its path.
      below: its path from the directory, beginning with "/".
      source: the directory.
      root: its real path.

    Returns:
      The text, or None if the link is to be followed.

    Raises:
      OSError: it cannot be read.
    """
    text, target = os.readlink(link), os.path.realpath(link)
    if text.startswith("/"):
        kept = not source.startswith("external/") and not _is_below(_repository(source, root), text, target)
    else:
        named = os.path.normpath(os.path.join(os.path.dirname(below)[1:], text))
        kept = named.split("/")[0] != ".." and target.startswith(root + "/") or not os.path.exists(link)
    return text if kept else None


def _repository(source: str, root: str) -> str:
    """Returns the directory below which `source` is: what remains of its real path without their common end."""
    names, real = source.split("/"), root.split("/")
    while names and real and names[-1] == real[-1]:
        names.pop()
        real.pop()
    return "/".join(real)


def _is_below(directory: str, *paths: str) -> bool:
    return any(os.path.normpath(path).startswith(directory + "/") for path in paths)
