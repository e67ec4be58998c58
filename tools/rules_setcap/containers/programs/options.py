"""Parses the options of a program as getopt(3) and getopt_long(3) do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rules_setcap.containers.program_model import Argument, NotFollowed, ProgramFails

Option = tuple[str, str]
"""An option: its letter or its long name without dashes, and its value ("" if it has none)."""


def parse_options(
    argv: Sequence[Argument], short: str, long: Mapping[str, int] | None = None, permute: bool = False
) -> tuple[list[Option], Sequence[Argument]]:
    """Parses the options before the first argument that is not one.

    Args:
      argv: the arguments, without the program's name.
      short: the letters, each with ":" if it takes a value, or "::" if it may have one in the same argument.
      long: the long names, with 0 (no value), 1 (a value) or 2 (a value only after "=").
      permute: whether options after other arguments count too, up to "--": getopt(3) without "+".

    Returns:
      The options in order, and the arguments that are left.

    Raises:
      ProgramFails: the program does not know an option.
      NotFollowed: an argument that may be an option is not known.
    """
    parsed: list[Option] = []
    arguments: list[Argument] = []
    at = 0
    while at < len(argv):
        argument = _require_known(argv[at])
        if argument == "--":
            return parsed, [*arguments, *argv[at + 1 :]]
        if not argument.startswith("-") or argument == "-":
            if not permute:
                break
            arguments.append(argument)
            at += 1
            continue
        at += 1
        if argument.startswith("--"):
            name, takes, value = _parse_long_option(argument, long or {})
            if takes == 1 and value is None:
                value = _take_value(argv, at, argument)
                at += 1
            parsed.append((name, value or ""))
            continue
        letters = argument[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            kind = short.partition(letter)[2] if letter not in ":+" and letter in short else None
            if kind is None:
                raise ProgramFails(f'unknown option "-{letter}"')
            value = ""
            if kind.startswith("::"):
                value, letters = letters, ""
            elif kind.startswith(":"):
                value, letters = letters, ""
                if not value:
                    value = _take_value(argv, at, "-" + letter)
                    at += 1
            parsed.append((letter, value))
    return parsed, [*arguments, *argv[at:]]


def _require_known(argument: Argument) -> str:
    """Returns an argument.

    Raises:
      NotFollowed: it is not known.
    """
    if argument is None:
        raise NotFollowed("has arguments that are not known here")
    return argument


def _take_value(argv: Sequence[Argument], at: int, option: str) -> str:
    """Returns the value of an option, which is the next argument."""
    if at >= len(argv):
        raise ProgramFails(f'the option "{option}" has no value')
    return _require_known(argv[at])


def _parse_long_option(argument: str, long: Mapping[str, int]) -> tuple[str, int, str | None]:
    """Parses --NAME or --NAME=VALUE, where NAME may be cut as long as it is unique.

    Returns:
      The full name, its entry in `long`, and the value; None if there is no "=".
    """
    name, equals, value = argument[2:].partition("=")
    names = [name] if name in long else [full for full in long if full.startswith(name)]
    if len(names) != 1:
        raise ProgramFails(f'unknown option "--{name}"')
    takes = long[names[0]]
    if equals and not takes:
        raise ProgramFails(f'the option "--{name}" has no value')
    return names[0], takes, value if equals else None
