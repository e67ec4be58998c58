"""What ko makes of `linux_capabilities`: its own reading of cap_from_text(3), which is not libcap's.

As in ko's pkg/caps (NewFileCaps) up to v0.19: a term is a name or a number, permitted; or
what stands before the first operator, as a list, and then letters that act one by one. The
effective bits of all terms become the one bit of the file. Where nothing is permitted or
inheritable in the end, the file gets no record.
"""

from __future__ import annotations

from typing import Sequence

from rules_setcap.capabilities import FileCapabilities
from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.ko.errors import quote

_OPERATORS = "+-="
_EVERYTHING = (1 << 64) - 1
# unicode.IsSpace, at which strings.Fields splits.
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
_TO_SPACE = str.maketrans(dict.fromkeys(_SPACES, " "))
_NUMBERS = {name[len("cap_") :].upper(): number for number, name in enumerate(NAMES)}


class Refused(Exception):
    """Why ko takes no such thing."""


def terms(text: str) -> list[str]:
    """The terms of the field where it is one string."""
    return [term for term in text.translate(_TO_SPACE).split(" ") if term]


def meaning(terms: Sequence[str]) -> FileCapabilities | None:
    """The capabilities that ko gives to a file; None for no record.

    Raises:
      Refused: it gives an error.
    """
    permitted = inheritable = effective = 0
    for term in terms:
        start = next((at for at, char in enumerate(term) if char in _OPERATORS), -1)
        if start == -1:
            permitted |= _mask(term)
            continue
        names = term[:start] or ("all" if term[start] == "=" else "")
        listed, kept = 0, _EVERYTHING
        for name in names.split(","):
            listed |= _mask(name)
        for char in term[start:]:
            if char in _OPERATORS:
                kept = _EVERYTHING & ~listed if char == "-" else _EVERYTHING
                if char == "=":
                    permitted, inheritable, effective = permitted & ~listed, inheritable & ~listed, effective & ~listed
            elif char == "p":
                permitted = (permitted | listed) & kept
            elif char == "i":
                inheritable = (inheritable | listed) & kept
            elif char == "e":
                effective = (effective | listed) & kept
            else:
                raise Refused(f"{quote(char)} in {quote(term)} is no flag")
    either = permitted | inheritable
    return FileCapabilities(permitted, inheritable, either if effective else 0) if either else None


def _mask(name: str) -> int:
    """The bit of a name or a number."""
    if name.isascii() and name.isdecimal() and len(name.lstrip("0")) <= 2 and int(name) < 64:
        return 1 << int(name)
    # Letter by letter, as Go does: the long s is an S, the sharp s stays what it is.
    upper = "".join(char.upper() if len(char.upper()) == 1 else char for char in name)
    if upper == "ALL":
        return ALL
    number = _NUMBERS.get(upper.removeprefix("CAP_"))
    if number is None:
        raise Refused(f"{quote(name)} is no capability")
    return 1 << number
