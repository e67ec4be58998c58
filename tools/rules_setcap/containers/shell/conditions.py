"""Evaluates test, [ and [[ with three values: true, false, and None for not known."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from rules_setcap.containers.shell.expand import Expander
from rules_setcap.containers.shell.frame import Frame
from rules_setcap.containers.shell.syntax import Literal, Word

Truth = bool | None
_BINARY = frozenset("= == != < > -eq -ne -lt -gt -le -ge -nt -ot -ef".split())
_UNARY = frozenset("-" + letter for letter in "abcdefghknoprstuvwxzGLNORS")


def invert(value: Truth) -> Truth:
    """not"""
    return None if value is None else not value


def both(one: Truth, other: Truth) -> Truth:
    """and"""
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def test(words: Sequence[str]) -> Truth:
    """Evaluates the arguments of test(1); None too where they are not a valid expression."""
    if not words:
        return False
    reader = _Arguments(words)
    value = reader.disjunction()
    return value if reader.at == len(words) else None


class _Arguments:
    def __init__(self, words: Sequence[str]) -> None:
        self._words, self.at = words, 0

    def _peek(self, ahead: int = 0) -> str | None:
        at = self.at + ahead
        return self._words[at] if at < len(self._words) else None

    def disjunction(self) -> Truth:
        value = self._conjunction()
        while self._peek() == "-o":
            self.at += 1
            value = invert(both(invert(value), invert(self._conjunction())))
        return value

    def _conjunction(self) -> Truth:
        value = self._negation()
        while self._peek() == "-a":
            self.at += 1
            value = both(value, self._negation())
        return value

    def _negation(self) -> Truth:
        if self._peek() == "!" and self._peek(1) is not None and self._peek(1) not in _BINARY:
            self.at += 1
            return invert(self._negation())
        return self._primary()

    def _primary(self) -> Truth:
        first, second, third = self._peek(), self._peek(1), self._peek(2)
        if first is None:
            return None
        if second in _BINARY and third is not None:
            self.at += 3
            return compare(first, second or "", third)
        if first == "(" and second is not None:
            self.at += 1
            value = self.disjunction()
            if self._peek() != ")":
                return None
            self.at += 1
            return value
        if first in _UNARY and second is not None:
            self.at += 2
            return _unary(first, second)
        self.at += 1
        return first != ""


def _unary(operator: str, text: str) -> Truth:
    if operator == "-n":
        return text != ""
    # What files there are when the script runs is not known.
    return text == "" if operator == "-z" else None


def compare(left: str, operator: str, right: str) -> Truth:
    """Compares two strings or numbers."""
    if operator in ("=", "=="):
        return left == right
    if operator == "!=":
        return left != right
    if operator in ("<", ">"):
        return left < right if operator == "<" else left > right
    try:
        one, other = int(left), int(right)
    except ValueError:
        return None
    results = {"-eq": one == other, "-ne": one != other, "-lt": one < other, "-gt": one > other, "-le": one <= other, "-ge": one >= other}
    return results.get(operator)


class Brackets:
    """[[ ... ]] (bash(1), "Conditional expressions"): words are not split, and the right of == is a pattern."""

    def __init__(self, words: Sequence[Word], expander: Expander, frame: Frame) -> None:
        self._words, self._expander, self._frame = words, expander, frame
        self._at = 0

    def value(self) -> Truth:
        value = self._disjunction()
        return value if self._at == len(self._words) else None

    def _operator(self, ahead: int = 0) -> str:
        at = self._at + ahead
        word = self._words[at] if at < len(self._words) else ()
        return word[0].text if len(word) == 1 and isinstance(word[0], Literal) and not word[0].quoted else ""

    def _disjunction(self) -> Truth:
        value = self._conjunction()
        while self._operator() == "||":
            self._at += 1
            value = invert(both(invert(value), invert(self._conjunction())))
        return value

    def _conjunction(self) -> Truth:
        value = self._negation()
        while self._operator() == "&&":
            self._at += 1
            value = both(value, self._negation())
        return value

    def _negation(self) -> Truth:
        if self._operator() == "!":
            self._at += 1
            return invert(self._negation())
        if self._operator() == "(":
            self._at += 1
            value = self._disjunction()
            self._at += 1
            return value
        return self._primary()

    def _primary(self) -> Truth:
        if self._at >= len(self._words):
            return None
        operator = self._operator(1)
        if operator in _BINARY or operator == "=~":
            left, right = self._words[self._at], self._words[self._at + 2] if self._at + 2 < len(self._words) else ()
            self._at += 3
            return self._compare(left, operator, right)
        if self._operator() in _UNARY and self._at + 1 < len(self._words):
            operator = self._operator()
            text = self._expander.text(self._frame, self._words[self._at + 1])
            self._at += 2
            return None if text is None else _unary(operator, text)
        text = self._expander.text(self._frame, self._words[self._at])
        self._at += 1
        return None if text is None else text != ""

    def _compare(self, left: Word, operator: str, right: Word) -> Truth:
        one = self._expander.text(self._frame, left)
        if operator not in ("=", "==", "!="):
            other = self._expander.text(self._frame, right)
            return None if one is None or other is None or operator == "=~" else compare(one, operator, other)
        pattern = self._expander.pattern(self._frame, right)
        if one is None or pattern is None or any(mark in pattern for mark in ("@(", "!(", "+(", "?(")):
            return None
        matches = fnmatch.fnmatchcase(one, pattern)
        return matches if operator != "!=" else not matches
