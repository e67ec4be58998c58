"""Finds the name that was probably meant."""

from __future__ import annotations

from rules_setcap.diagnostics import limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable


def closest(path: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Returns the name that is most like a path; "" if none is.

    Comparing takes long, so it ends at a limit; names with the same last part come first.
    """
    import difflib
    import itertools

    names, last = list(names), "/" + path.rpartition("/")[2]
    left = limits.COMPARED
    compared = []
    for name in itertools.chain((each for each in names if each.endswith(last)), names):
        left -= len(name)
        if left < 0:
            break
        compared.append(name)
    return next(iter(difflib.get_close_matches(path, compared, n=1, cutoff=cutoff)), "")
