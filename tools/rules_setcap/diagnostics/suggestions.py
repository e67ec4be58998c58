"""Finds the name that was probably meant."""

from __future__ import annotations

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable


def find_closest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Returns the one of `names` that is most similar to `name`, or "" if none is similar enough.

    Args:
      name: the name that the user wrote; only its first 64 characters are compared, because comparing takes quadratic time.
      names: the names that exist.
      cutoff: the least similarity, 0 to 1, as difflib.SequenceMatcher.ratio() measures it.
    """
    import difflib  # Loading it takes time, and most runs have nothing to suggest.

    return next(iter(difflib.get_close_matches(name[:64], list(names), n=1, cutoff=cutoff)), "")


def suggest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Returns '; did you mean "..."?' with the closest of `names`, or "" if none is similar enough; arguments as above."""
    near = find_closest(name, names, cutoff)
    return f"; did you mean {quote(near)}?" if near else ""


def find_closest_path(path: str, paths: Iterable[str], cutoff: float = 0.6) -> str:
    """Returns the one of many paths that is most similar to `path`, or "" if none is similar enough.

    The comparison ends at limits.COMPARED characters. Paths with the same last component come first.
    """
    import difflib
    import itertools

    paths, last = list(paths), "/" + path.rpartition("/")[2]
    left = limits.COMPARED
    compared = []
    for name in itertools.chain((each for each in paths if each.endswith(last)), paths):
        left -= len(name)
        if left < 0:
            break
        compared.append(name)
    return next(iter(difflib.get_close_matches(path, compared, n=1, cutoff=cutoff)), "")


def suggest_path(path: str, paths: Iterable[str], cutoff: float = 0.6) -> str:
    """Returns '; did you mean "..."?' with the closest of many paths, or "" if none is similar enough; arguments as above."""
    near = find_closest_path(path, paths, cutoff)
    return f"; did you mean {quote(near)}?" if near else ""
