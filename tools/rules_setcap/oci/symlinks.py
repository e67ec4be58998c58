"""Follows the symbolic links in a path within a root directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote
from rules_setcap.oci.nodes import TooManyLinks

if TYPE_CHECKING:
    from collections.abc import Callable


def resolve_links(
    path: str,
    read_link: Callable[[str], str | None],
    count_steps: Callable[[int], None] | None = None,
    max_links: int = limits.LINKS,
) -> str:
    """Returns a path with every symbolic link followed, the last one too; the path need not exist.

    Args:
      path: an absolute path, or "" for the root.
      read_link: returns the target of the symbolic link at an absolute path; None if there is none.
      count_steps: gets the number of names that are looked up next.
      max_links: the number of symbolic links that may be followed.

    Raises:
      TooManyLinks: there are more symbolic links.
    """
    resolved = ""
    todo = path.split("/")[::-1]
    followed = 0
    while todo:
        name = todo.pop()
        if name in ("", "."):
            continue
        if name == "..":
            resolved = resolved.rpartition("/")[0]
            continue
        child = f"{resolved}/{name}"
        target = read_link(child)
        if target is None:
            resolved = child
            continue
        followed += 1
        if followed > max_links:
            raise TooManyLinks(f"more than {max_links} symbolic links lead from {quote(path)}")
        if target.startswith("/"):
            resolved = ""
        names = target.split("/")[::-1]
        if count_steps:
            count_steps(len(names))
        todo += names
    return resolved
