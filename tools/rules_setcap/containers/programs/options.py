"""Reads the options of a program as getopt(3) and getopt_long(3) do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rules_setcap.containers.programs.model import Argument, NotFollowed, ProgramFails

Option = tuple[str, str]


def parse_options(
    argv: Sequence[Argument], short: str, long: Mapping[str, int] | None = None, permute: bool = False
) -> tuple[list[Option], Sequence[Argument]]:
    """Reads the options before the first word that is not one.

    Args:
      argv: the words, without the program's name.
      short: the letters, each with ":" if it takes a value, or "::" if it may have one in the same word.
      long: the names, with 0 (no value), 1 (a value) or 2 (a value only after "=").
      permute: whether options after other words count too, up to "--": getopt(3) without "+".

    Returns:
      The options in order, short ones by letter, each with its value; and the words that are left.

    Raises:
      ProgramFails: the program does not know an option.
      NotFollowed: an option is not known here.
    """
    found: list[Option] = []
    words: list[Argument] = []
    at = 0
    while at < len(argv):
        word = _known(argv[at])
        if word == "--":
            return found, [*words, *argv[at + 1 :]]
        if not word.startswith("-") or word == "-":
            if not permute:
                break
            words.append(word)
            at += 1
            continue
        at += 1
        if word.startswith("--"):
            name, takes, value = _long(word, long or {})
            if takes == 1 and value is None:
                value = _value(argv, at, word)
                at += 1
            found.append((name, value or ""))
            continue
        letters = word[1:]
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
                    value = _value(argv, at, "-" + letter)
                    at += 1
            found.append((letter, value))
    return found, [*words, *argv[at:]]


def _known(word: Argument) -> str:
    if word is None:
        raise NotFollowed("has arguments that are not known here")
    return word


def _value(argv: Sequence[Argument], at: int, option: str) -> str:
    if at >= len(argv):
        raise ProgramFails(f'the option "{option}" has no value')
    return _known(argv[at])


def _long(word: str, long: Mapping[str, int]) -> tuple[str, int, str | None]:
    name, equals, value = word[2:].partition("=")
    names = [name] if name in long else [each for each in long if each.startswith(name)]
    if len(names) != 1:
        raise ProgramFails(f'unknown option "--{name}"')
    takes = long[names[0]]
    if equals and not takes:
        raise ProgramFails(f'the option "--{name}" has no value')
    return names[0], takes, value if equals else None
