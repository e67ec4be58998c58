"""Parses `linux_capabilities` as ko does, which differs from cap_from_text(3).

As in NewFileCaps of ko's pkg/caps, up to v0.19. A term without an operator is a name or a number, which becomes permitted.
Any other term is a list of names before the first operator, and then letters and operators that act one by one. The
effective sets of all terms become the one effective bit of the file. If nothing is permitted or inheritable in the end, the
file gets no capabilities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.capabilities import FileCapabilities
from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.diagnostics.errors import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPERATORS = "+-="
_EVERYTHING = (1 << 64) - 1
# unicode.IsSpace, at which strings.Fields splits.
_SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_TO_SPACE = str.maketrans(dict.fromkeys(_SPACES, " "))
_NUMBERS = {name[len("cap_") :].upper(): number for number, name in enumerate(NAMES)}


class RefusedError(Exception):
    """A text that ko refuses; the message says why."""


def split_terms(text: str) -> list[str]:
    """Returns the terms of a value that is one string."""
    return [term for term in text.translate(_TO_SPACE).split(" ") if term]


def has_operator(term: str) -> bool:
    """Returns whether a term is a clause; any other term is a name or a number."""
    return any(operator in term for operator in _OPERATORS)


def parse_as_ko(terms: Sequence[str]) -> FileCapabilities | None:
    """Parses the terms of `linux_capabilities`.

    Returns:
      The capabilities that ko assigns to the file; None if it assigns none.

    Raises:
      RefusedError: ko reports an error.
    """
    permitted = inheritable = effective = 0
    for term in terms:
        start = next((position for position, letter in enumerate(term) if letter in _OPERATORS), -1)
        if start == -1:
            permitted |= _parse_name(term)
            continue
        names = term[:start] or ("all" if term[start] == "=" else "")
        named, kept = 0, _EVERYTHING
        for name in names.split(","):
            named |= _parse_name(name)
        for letter in term[start:]:
            if letter in _OPERATORS:
                kept = _EVERYTHING & ~named if letter == "-" else _EVERYTHING
                if letter == "=":
                    permitted, inheritable, effective = permitted & ~named, inheritable & ~named, effective & ~named
            elif letter == "p":
                permitted = (permitted | named) & kept
            elif letter == "i":
                inheritable = (inheritable | named) & kept
            elif letter == "e":
                effective = (effective | named) & kept
            else:
                raise RefusedError(f"{quote(letter)} in {quote(term)} is not a flag")
    either = permitted | inheritable
    return FileCapabilities(permitted, inheritable, either if effective else 0) if either else None


def _parse_name(name: str) -> int:
    """Returns the bit mask of a name or a number."""
    if name.isascii() and name.isdecimal() and len(name.lstrip("0")) <= 2 and int(name) < 64:
        return 1 << int(name)
    # Go converts each letter by itself: a long s becomes an S, and a sharp s stays the same.
    upper = "".join(letter.upper() if len(letter.upper()) == 1 else letter for letter in name)
    if upper == "ALL":
        return ALL
    number = _NUMBERS.get(upper.removeprefix("CAP_"))
    if number is None:
        raise RefusedError(f"{quote(name)} is not a capability")
    return 1 << number
