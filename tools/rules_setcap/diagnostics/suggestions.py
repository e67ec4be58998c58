"""Finds the name that a misspelt name probably means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote

if TYPE_CHECKING:
    from collections.abc import Iterable


def find_closest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Returns the one of `names` that is most similar to `name`, or "" if none is similar enough.

    Args:
      name: the name that the user wrote; only its first 64 characters are compared, because comparing takes quadratic time.
      names: the names that exist.
      cutoff: the least similarity, 0 to 1, as difflib.SequenceMatcher.ratio() measures it.
    """
    import difflib  # The import is slow, and most runs have nothing to suggest.

    return next(iter(difflib.get_close_matches(name[:64], list(names), n=1, cutoff=cutoff)), "")


def suggest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Returns '; did you mean "..."?' with the closest of `names`, or "" if none is similar enough.

    The arguments are those of find_closest().
    """
    near = find_closest(name, names, cutoff)
    return f"; did you mean {quote(near)}?" if near else ""


def find_closest_path(path: str, paths: Iterable[str], cutoff: float = 0.6) -> str:
    """Returns the one of many paths that is most similar to `path`, or "" if none is similar enough.

    It compares paths with the same last component first, and at most limits.COMPARED characters of all paths.

    Args:
      path: the path that the user wrote.
      paths: the paths that exist.
      cutoff: as for find_closest().
    """
    import difflib
    import itertools

    paths, last = list(paths), "/" + path.rpartition("/")[2]
    left = limits.COMPARED
    compared = []
    for name in itertools.chain((candidate for candidate in paths if candidate.endswith(last)), paths):
        left -= len(name)
        if left < 0:
            break
        compared.append(name)
    return next(iter(difflib.get_close_matches(path, compared, n=1, cutoff=cutoff)), "")


def suggest_path(path: str, paths: Iterable[str], cutoff: float = 0.6) -> str:
    """Returns '; did you mean "..."?' with the closest of many paths, or "" if none is similar enough.

    The arguments are those of find_closest_path().
    """
    near = find_closest_path(path, paths, cutoff)
    return f"; did you mean {quote(near)}?" if near else ""
