"""The language of cap_from_text(3), as libcap implements it.

    text    = { space } { clause { space } }
    clause  = [ list ] action { action }
    list    = item { "," item }
    item    = "all" | name | number
    action  = ( "=" | "=+" | "=-" | "+" | "-" ) flags
    flags   = { "e" | "i" | "p" }

The first action of a clause may be any, later ones "+" and "-" only. Only a single
plain "=" does without a list; it then means every capability, and without flags none.
Every other action has flags. Names are of any case and may leave out `cap_`, which
libcap wants. Numbers are below 64, as strtoul(3) reads them: decimal, octal (010),
hexadecimal (0x8), binary (0b1000).
"""

from __future__ import annotations

from rules_setcap.capabilities.errors import CapabilityError
from rules_setcap.capabilities.names import ALL, NAMES, lower, number, suggestion
from rules_setcap.capabilities.sets import FileCapabilities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

_SPACE = " \t\n\v\f\r"  # C's isspace in the C locale, and no other script's
_DIGITS = "0123456789"
_OPERATORS = "=+-"
_FLAGS = "eip"
_MAX_TEXT = 4096  # Every name in a clause of its own is a third of it.


def from_list(items: Sequence[str]) -> FileCapabilities | None:
    """What an attribute such as `linux_capabilities` asks for.

    Args:
      items: each one name, or several with commas between (permitted, as in ko and in
        Docker's --cap-add), or clauses of cap_from_text(3). They act in order, as
        clauses of one text do.

    Returns:
      None for an empty list: the file gets no record. Clauses whose sets end up empty
      (`=`) are a record all the same, and to the kernel it is not the same thing.

    Raises:
      CapabilityError: with every problem of every item.
    """
    if not items:
        return None
    parser = _Parser()
    for item in items:
        parser.item(item)
    return parser.result().check()


def from_text(text: str) -> FileCapabilities:
    """The capabilities of a file from clauses alone, as setcap(8) takes them.

    Raises:
      CapabilityError: with every problem.
    """
    if not text.strip(_SPACE):
        raise CapabilityError(_nothing(text))
    return parse_clauses(text).check()


def parse_clauses(text: str) -> FileCapabilities:
    """The sets that cap_from_text(3) makes, whether or not a file can hold them.

    Raises:
      CapabilityError: with every problem of the text.
    """
    parser = _Parser()
    parser.clauses(text)
    return parser.result()


class _Clause(CapabilityError):
    """One clause is wrong; the next may be right."""


class _Parser:
    """Sets that clauses act on, and what was wrong with some of them."""

    def __init__(self) -> None:
        self.sets = dict.fromkeys(_FLAGS, 0)
        self.problems: list[str] = []

    def result(self) -> FileCapabilities:
        if self.problems:
            raise CapabilityError(*self.problems)
        return FileCapabilities(self.sets["p"], self.sets["i"], self.sets["e"])

    def item(self, item: str) -> None:
        """One string of an attribute: names, or clauses."""
        if not item.strip(_SPACE):
            self.problems.append(_nothing(item))
        elif any(operator in item for operator in _OPERATORS):
            self.clauses(item)
        else:
            for name in item.split(","):
                self.name(name, item)

    def name(self, name: str, item: str) -> None:
        """A bare name: permitted."""
        if not name:
            self.problems.append(f'{_quote(item)}: an empty name between commas')
        elif name[0] in _DIGITS:
            self.problems.append(f'{_quote(name)}: a number needs an operator; write {_quote(name + "=p")}, or the name')
        else:
            try:
                self.sets["p"] |= _mask(name)
            except _Clause as error:
                self.problems += error.problems

    def clauses(self, text: str) -> None:
        """A text of clauses."""
        if len(text) > _MAX_TEXT:
            self.problems.append(f"{_quote(text)}: {len(text)} characters; capability text has at most {_MAX_TEXT}")
            return
        position, end = 0, len(text)
        while position < end:
            start = position
            while position < end and text[position] not in _SPACE:
                position += 1
            if position > start:
                try:
                    self.clause(text[start:position])
                except _Clause as error:
                    self.problems += error.problems
            position += 1

    def clause(self, clause: str) -> None:
        """One clause; it acts only when all of it is right."""
        length = next((at for at, char in enumerate(clause) if char in _OPERATORS), len(clause))
        names, rest = clause[:length], clause[length:]
        if not rest:
            raise _Clause(f"{_quote(clause)}: no operator; write {_quote(clause + '=p')}")
        mask = _list_mask(clause, names) if names else ALL
        actions = _actions(clause, rest)
        if not names and (actions[0][0] != "=" or len(actions) > 1):
            raise _Clause(f'{_quote(clause)}: no list of capabilities; only a plain "=" goes without one, as in "=p"')
        for operator, flags in actions:
            if operator[0] == "=":
                for flag in _FLAGS:
                    self.sets[flag] &= ~mask
            for flag in flags:
                if operator[-1] == "-":
                    self.sets[flag] &= ~mask
                else:
                    self.sets[flag] |= mask


def _actions(clause: str, rest: str) -> list[tuple[str, str]]:
    """The operators of a clause, each with its flags."""
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
        first = not actions
        if operator not in (("=", "=+", "=-", "+", "-") if first else ("+", "-")):
            raise _Clause(
                f'{_quote(clause)}: "{operator}" is no operator here; '
                + ('write one of "=", "+", "-"' if first else 'after the first, write "+" or "-"')
            )
        if not flags and operator != "=":
            raise _Clause(f'{_quote(clause)}: no flags after "{operator}"; write e (effective), i (inheritable), p (permitted)')
        for flag in flags:
            if flag not in _FLAGS:
                raise _Clause(
                    f"{_quote(clause)}: unknown flag {_quote(flag)}; flags are e (effective), i (inheritable), p (permitted)"
                )
        actions.append((operator, flags))
    return actions


def _list_mask(clause: str, names: str) -> int:
    """The capabilities that a clause lists."""
    mask = 0
    problems: list[str] = []
    for name in names.split(","):
        try:
            if not name:
                raise _Clause(f"{_quote(clause)}: an empty name between commas")
            if lower(name) == "all":
                mask = ALL  # What was listed before is lost, 41 to 63 too: as in libcap.
            else:
                mask |= _number_mask(clause, name) if name[0] in _DIGITS else _mask(name)
        except _Clause as error:
            problems += error.problems
    if problems:
        raise _Clause(*problems)
    return mask


def _mask(name: str) -> int:
    """The bit of a name, or those of `all`."""
    if lower(name) == "all":
        return ALL
    bit = number(name)
    if bit is None:
        near = suggestion(name)
        hint = f"did you mean {_quote(near)}?" if near else "capabilities(7) lists the names"
        raise _Clause(f"{_quote(name)}: unknown capability; {hint}")
    return 1 << bit


def _number_mask(clause: str, text: str) -> int:
    """The bit of a number, read as strtoul(3) with base 0 does."""
    digits = lower(text)
    base = {"0x": 16, "0b": 2}.get(digits[:2], 8 if digits.startswith("0") else 10)
    if base in (2, 16):
        digits = digits[2:]
    allowed = "0123456789abcdef"[:base]
    # Seven digits are more than 63 in any base, so a long number costs nothing.
    plain = digits.lstrip("0") or "0"
    if not digits or any(digit not in allowed for digit in digits):
        raise _Clause(f"{_quote(clause)}: {_quote(text)} is no number; write a capability's name")
    if len(plain) > 7 or int(plain, base) > 63:
        raise _Clause(f"{_quote(clause)}: {_quote(text)} is more than 63, the last bit that a file has")
    return 1 << int(plain, base)


def _nothing(text: str) -> str:
    return f"{_quote(text)}: no capability; write a name, or leave it out"


def _quote(text: str) -> str:
    """`text` for a message: what cannot be seen is escaped, what is long is cut."""
    import json

    return json.dumps(text if len(text) <= 80 else text[:77] + "...")


# The bits of a state: which of a capability's flags are set. As in libcap's cap_text.c.
_EFFECTIVE, _PERMITTED, _INHERITABLE = 1, 2, 4


def to_text(capabilities: FileCapabilities) -> str:
    """The text that cap_to_text(3) gives on a kernel that knows capabilities 0 to 40.

    What most capabilities have in common comes first ("=p"), then who differs; where
    the most have nothing, that is left out ("cap_chown=p").
    """
    states = [_state(capabilities, number) for number in range(64)]
    named, unnamed = states[: len(NAMES)], states[len(NAMES) :]
    common = 7
    for state in range(6, -1, -1):  # Of equally frequent ones, the one with less.
        if named.count(state) >= named.count(common):
            common = state

    text = "=" + _letters(common)
    for state in range(7, -1, -1):
        members = [name for name, of in zip(NAMES, named) if of == state]
        if state == common or not members:
            continue
        plus, minus = _letters(state & ~common), _letters(common & ~state)
        if text == "=":
            text = ",".join(members) + "=" + plus
        else:
            text += " " + ",".join(members) + ("+" + plus if plus else "") + ("-" + minus if minus else "")
    for state in range(7, 0, -1):
        numbers = [str(at) for at, of in enumerate(unnamed, len(NAMES)) if of == state]
        if numbers:
            text += " " + ",".join(numbers) + "+" + _letters(state)
    return text


def _state(capabilities: FileCapabilities, number: int) -> int:
    return (
        (capabilities.effective >> number & 1) * _EFFECTIVE
        | (capabilities.permitted >> number & 1) * _PERMITTED
        | (capabilities.inheritable >> number & 1) * _INHERITABLE
    )


def _letters(state: int) -> str:
    return ("e" if state & _EFFECTIVE else "") + ("i" if state & _INHERITABLE else "") + ("p" if state & _PERMITTED else "")
