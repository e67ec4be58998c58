"""Follows symbolic links in paths, within a root directory."""

from __future__ import annotations

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote
from rules_setcap.oci.nodes import TooManyLinks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


def resolve(path: str, read_link: Callable[[str], str | None], step: Callable[[int], None] | None = None, most: int = limits.LINKS) -> str:
    """Returns a path with every symbolic link followed, the last one too; whether it exists or not.

    Args:
      path: absolute, or "" for the root.
      read_link: returns the target of the symbolic link at an absolute path; None if there is none.
      step: gets the number of names that are looked up next.
      most: symbolic links that are followed.

    Raises:
      TooManyLinks: there are more.
    """
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
        target = read_link(here)
        if target is None:
            at = here
            continue
        followed += 1
        if followed > most:
            raise TooManyLinks(f"more than {most} symbolic links lead from {quote(path)}")
        if target.startswith("/"):
            at = ""
        names = target.split("/")[::-1]
        if step:
            step(len(names))
        todo += names
    return at
