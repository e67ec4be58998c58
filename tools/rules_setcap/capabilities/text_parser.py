"""Parses the language of cap_from_text(3), as libcap implements it.

    text    = { space } { clause { space } }
    clause  = [ list ] action { action }
    list    = item { "," item }
    item    = "all" | name | number
    action  = ( "=" | "=+" | "=-" | "+" | "-" ) flags
    flags   = { "e" | "i" | "p" }

The first action of a clause may have any operator, later actions have "+" or "-". A clause without a list has exactly one
action, whose operator is "="; it acts on all capabilities. Every action has flags, except one whose operator is "=", which
then clears all three sets. Names are of any case. Their prefix `cap_`, which libcap requires, may be left out. Numbers are
0 to 63, as strtoul(3) reads them: decimal, octal (010), hexadecimal (0x8) or binary (0b1000).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.capabilities.errors import CapabilityError
from rules_setcap.capabilities.names import ALL, find_number, lower_ascii, suggest_name
from rules_setcap.diagnostics.errors import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPACE = " \t\n\v\f\r"  # isspace(3) in the C locale: no white space of other scripts.
_DIGITS = "0123456789"
_OPERATORS = "=+-"
_FLAGS = "eip"
_MAX_TEXT = 4096  # Three times the text that has every name in a clause of its own.


class Sets(NamedTuple):
    """Capability sets that a file may or may not be able to hold: bit n is set if capability n is in the set."""

    permitted: int
    inheritable: int
    effective: int


def parse_items(items: Sequence[str]) -> Sets:
    """Returns the sets that items of an attribute make, in order: clauses, or names with commas between them.

    Raises:
      CapabilityError: with all problems of all items.
    """
    parser = _Parser()
    for item in items:
        parser.apply_item(item)
    return parser.finish()


def parse_clauses(text: str) -> Sets:
    """Returns the sets that cap_from_text(3) makes of a text.

    Raises:
      CapabilityError: with all problems of the text.
    """
    parser = _Parser()
    parser.apply_clauses(text)
    return parser.finish()


def check_not_blank(text: str) -> None:
    """Raises CapabilityError if a text has nothing but white space."""
    if not text.strip(_SPACE):
        raise CapabilityError(f"{quote(text)}: no capability; write a name, or leave it out")


class _ClauseError(CapabilityError):
    """An invalid clause or name. Parsing goes on with the next one, so that all problems are reported."""


class _Parser:
    """The sets that clauses have acted on so far, and the problems of invalid clauses."""

    def __init__(self) -> None:
        self._sets = dict.fromkeys(_FLAGS, 0)
        self._problems: list[str] = []

    def finish(self) -> Sets:
        """Returns the sets.

        Raises:
          CapabilityError: with all problems, if there were any.
        """
        if self._problems:
            raise CapabilityError(*self._problems)
        return Sets(permitted=self._sets["p"], inheritable=self._sets["i"], effective=self._sets["e"])

    def apply_item(self, item: str) -> None:
        """Applies one item of an attribute: names, or clauses."""
        try:
            check_not_blank(item)
        except CapabilityError as error:
            self._problems += error.problems
            return
        if any(operator in item for operator in _OPERATORS):
            self.apply_clauses(item)
        else:
            for name in item.split(","):
                self._apply_name(name, item)

    def apply_clauses(self, text: str) -> None:
        """Applies the clauses of a text in order."""
        if len(text) > _MAX_TEXT:
            self._problems.append(f"{quote(text)}: {len(text)} characters; capability text has at most {_MAX_TEXT}")
            return
        position, end = 0, len(text)
        while position < end:
            start = position
            while position < end and text[position] not in _SPACE:
                position += 1
            if position > start:
                try:
                    self._apply_clause(text[start:position])
                except _ClauseError as error:
                    self._problems += error.problems
            position += 1

    def _apply_name(self, name: str, item: str) -> None:
        """Applies a name without an operator: the capability becomes permitted."""
        if not name:
            self._problems.append(f"{quote(item)}: an empty name between commas")
        elif name[0] in _DIGITS:
            self._problems.append(f"{quote(name)}: a number needs an operator; write {quote(name + '=p')}, or the name")
        else:
            try:
                self._sets["p"] |= _parse_name(name)
            except _ClauseError as error:
                self._problems += error.problems

    def _apply_clause(self, clause: str) -> None:
        """Applies one clause; an invalid clause changes nothing."""
        length = next((at for at, character in enumerate(clause) if character in _OPERATORS), len(clause))
        names, rest = clause[:length], clause[length:]
        if rest[:1] == "-" and find_number(clause.replace("-", "_")) is not None:
            raise _ClauseError(f"{quote(clause)}: unknown capability; did you mean {quote(clause.replace('-', '_'))}?")
        if not rest:
            raise _ClauseError(f"{quote(clause)}: no operator; write {quote(clause + '=p')}")
        mask = _parse_names(clause, names) if names else ALL
        actions = _parse_actions(clause, rest)
        if not names and (actions[0][0] != "=" or len(actions) > 1):
            raise _ClauseError(f'{quote(clause)}: no list of capabilities; only a plain "=" goes without one, as in "=p"')
        for operator, flags in actions:
            if operator[0] == "=":
                for flag in _FLAGS:
                    self._sets[flag] &= ~mask
            for flag in flags:
                if operator[-1] == "-":
                    self._sets[flag] &= ~mask
                else:
                    self._sets[flag] |= mask


def _parse_actions(clause: str, rest: str) -> list[tuple[str, str]]:
    """Returns the operator and the flags of each action.

    Args:
      clause: the whole clause, for messages.
      rest: the clause without its list.
    """
    actions: list[tuple[str, str]] = []
    position = 0
    while position < len(rest):
        start = position
        while position < len(rest) and rest[position] in _OPERATORS:
            position += 1
        operator, start = rest[start:position], position
        while position < len(rest) and rest[position] not in _OPERATORS:
            position += 1
        flags = rest[start:position]
        if not actions and operator not in ("=", "=+", "=-", "+", "-"):
            raise _ClauseError(f'{quote(clause)}: "{operator}" is not a valid operator; write one of "=", "+", "-"')
        if actions and operator not in ("+", "-"):
            raise _ClauseError(f'{quote(clause)}: "{operator}" is not a valid operator after the first; write "+" or "-"')
        if not flags and operator != "=":
            raise _ClauseError(
                f'{quote(clause)}: no flags after "{operator}"; write e (effective), i (inheritable), p (permitted)'
            )
        for flag in flags:
            if flag not in _FLAGS:
                raise _ClauseError(
                    f"{quote(clause)}: unknown flag {quote(flag)}; flags are e (effective), i (inheritable), p (permitted)"
                )
        actions.append((operator, flags))
    return actions


def _parse_names(clause: str, names: str) -> int:
    """Returns the set that the list of a clause names."""
    mask = 0
    problems: list[str] = []
    for name in names.split(","):
        try:
            if not name:
                raise _ClauseError(f"{quote(clause)}: an empty name between commas")
            if lower_ascii(name) == "all":
                mask = ALL  # As in libcap, this replaces what the list has before it, and so drops 41 to 63.
            else:
                mask |= _parse_number(clause, name) if name[0] in _DIGITS else _parse_name(name)
        except _ClauseError as error:
            problems += error.problems
    if problems:
        raise _ClauseError(*problems)
    return mask


def _parse_name(name: str) -> int:
    """Returns the set of one name, or of `all`."""
    if lower_ascii(name) == "all":
        return ALL
    number = find_number(name)
    if number is None:
        near = suggest_name(name)
        hint = f"did you mean {quote(near)}?" if near else "capabilities(7) lists the names"
        raise _ClauseError(f"{quote(name)}: unknown capability; {hint}")
    return 1 << number


def _parse_number(clause: str, text: str) -> int:
    """Returns the set of one capability number, read as strtoul(3) with base 0 reads it."""
    digits = lower_ascii(text)
    base = {"0x": 16, "0b": 2}.get(digits[:2], 8 if digits.startswith("0") else 10)
    if base in (2, 16):
        digits = digits[2:]
    allowed = "0123456789abcdef"[:base]
    significant = digits.lstrip("0") or "0"
    if not digits or any(digit not in allowed for digit in digits):
        raise _ClauseError(f"{quote(clause)}: {quote(text)} is not a valid number; write the name of a capability")
    # More than seven digits exceed 63 in every base; int() of a long text would take quadratic time.
    if len(significant) > 7 or int(significant, base) > 63:
        raise _ClauseError(f"{quote(clause)}: {quote(text)} is out of range (0 to 63)")
    return 1 << int(significant, base)
