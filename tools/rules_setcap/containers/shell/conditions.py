"""Evaluates test, [ and [[ with three values: true, false, and None for a result that is not known."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from rules_setcap.containers.shell.expand import Expander
from rules_setcap.containers.shell.frame import Frame
from rules_setcap.containers.shell.syntax import Literal, Word

Truth = bool | None
"""The truth of a condition, or the status of a command (True for 0); None if it is not known."""

_BINARY = frozenset("= == != < > -eq -ne -lt -gt -le -ge -nt -ot -ef".split())
_UNARY = frozenset("-" + letter for letter in "abcdefghknoprstuvwxzGLNORS")


def negate(value: Truth) -> Truth:
    """Returns NOT of a value."""
    return None if value is None else not value


def conjoin(one: Truth, other: Truth) -> Truth:
    """Returns AND of two values."""
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def evaluate_test(arguments: Sequence[str]) -> Truth:
    """Evaluates the arguments of test(1); returns None if they are not a valid expression."""
    if not arguments:
        return False
    evaluator = _TestEvaluator(arguments)
    value = evaluator.evaluate_or()
    return value if evaluator.at == len(arguments) else None


class _TestEvaluator:
    """An evaluator of the arguments of test(1), by recursive descent.

    Attributes:
      at: the number of arguments that have been evaluated.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments, self.at = arguments, 0

    def _peek(self, ahead: int = 0) -> str | None:
        """Returns the next argument, or one after it; None at the end."""
        at = self.at + ahead
        return self._arguments[at] if at < len(self._arguments) else None

    def evaluate_or(self) -> Truth:
        """Evaluates an expression, which may have -o."""
        value = self._evaluate_and()
        while self._peek() == "-o":
            self.at += 1
            value = negate(conjoin(negate(value), negate(self._evaluate_and())))
        return value

    def _evaluate_and(self) -> Truth:
        """Evaluates an expression without -o."""
        value = self._evaluate_not()
        while self._peek() == "-a":
            self.at += 1
            value = conjoin(value, self._evaluate_not())
        return value

    def _evaluate_not(self) -> Truth:
        """Evaluates an expression without -o and -a."""
        if self._peek() == "!" and self._peek(1) is not None and self._peek(1) not in _BINARY:
            self.at += 1
            return negate(self._evaluate_not())
        return self._evaluate_primary()

    def _evaluate_primary(self) -> Truth:
        """Evaluates a comparison, a unary test, or an expression in parentheses."""
        first, second, third = self._peek(), self._peek(1), self._peek(2)
        if first is None:
            return None
        if second in _BINARY and third is not None:
            self.at += 3
            return _compare(first, second or "", third)
        if first == "(" and second is not None:
            self.at += 1
            value = self.evaluate_or()
            if self._peek() != ")":
                return None
            self.at += 1
            return value
        if first in _UNARY and second is not None:
            self.at += 2
            return _evaluate_unary(first, second)
        self.at += 1
        return first != ""


def _evaluate_unary(operator: str, text: str) -> Truth:
    """Evaluates -n, -z, and tests of files."""
    if operator == "-n":
        return text != ""
    # It is not known which files exist when the script runs.
    return text == "" if operator == "-z" else None


def _compare(left: str, operator: str, right: str) -> Truth:
    """Compares two texts or numbers; returns None if the operator compares files, or needs numbers that the texts are not."""
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
    results = {
        "-eq": one == other,
        "-ne": one != other,
        "-lt": one < other,
        "-gt": one > other,
        "-le": one <= other,
        "-ge": one >= other,
    }
    return results.get(operator)


class DoubleBracketEvaluator:
    """An evaluator of [[ ... ]] (bash(1), "Conditional expressions"), by recursive descent.

    Words are not split there, and the word after == is a pattern.
    """

    def __init__(self, words: Sequence[Word], expander: Expander, frame: Frame) -> None:
        """Takes the words between the brackets, and the expander and the frame that give their values."""
        self._words, self._expander, self._frame = words, expander, frame
        self._at = 0

    def evaluate(self) -> Truth:
        """Returns the value of the whole expression; None if it is invalid."""
        value = self._evaluate_or()
        return value if self._at == len(self._words) else None

    def _peek_operator(self, ahead: int = 0) -> str:
        """Returns the next word, or one after it, if it is one unquoted literal, else ""."""
        at = self._at + ahead
        word = self._words[at] if at < len(self._words) else ()
        return word[0].text if len(word) == 1 and isinstance(word[0], Literal) and not word[0].quoted else ""

    def _evaluate_or(self) -> Truth:
        """Evaluates an expression, which may have ||."""
        value = self._evaluate_and()
        while self._peek_operator() == "||":
            self._at += 1
            value = negate(conjoin(negate(value), negate(self._evaluate_and())))
        return value

    def _evaluate_and(self) -> Truth:
        """Evaluates an expression without ||."""
        value = self._evaluate_not()
        while self._peek_operator() == "&&":
            self._at += 1
            value = conjoin(value, self._evaluate_not())
        return value

    def _evaluate_not(self) -> Truth:
        """Evaluates an expression without || and &&."""
        if self._peek_operator() == "!":
            self._at += 1
            return negate(self._evaluate_not())
        if self._peek_operator() == "(":
            self._at += 1
            value = self._evaluate_or()
            self._at += 1
            return value
        return self._evaluate_primary()

    def _evaluate_primary(self) -> Truth:
        """Evaluates a comparison or a unary test."""
        if self._at >= len(self._words):
            return None
        operator = self._peek_operator(1)
        if operator in _BINARY or operator == "=~":
            left, right = self._words[self._at], self._words[self._at + 2] if self._at + 2 < len(self._words) else ()
            self._at += 3
            return self._compare_words(left, operator, right)
        if self._peek_operator() in _UNARY and self._at + 1 < len(self._words):
            operator = self._peek_operator()
            text = self._expander.expand_text(self._frame, self._words[self._at + 1])
            self._at += 2
            return None if text is None else _evaluate_unary(operator, text)
        text = self._expander.expand_text(self._frame, self._words[self._at])
        self._at += 1
        return None if text is None else text != ""

    def _compare_words(self, left: Word, operator: str, right: Word) -> Truth:
        """Compares two words."""
        one = self._expander.expand_text(self._frame, left)
        if operator not in ("=", "==", "!="):
            other = self._expander.expand_text(self._frame, right)
            return None if one is None or other is None or operator == "=~" else _compare(one, operator, other)
        pattern = self._expander.expand_pattern(self._frame, right)
        if one is None or pattern is None or any(mark in pattern for mark in ("@(", "!(", "+(", "?(")):
            return None
        matches = fnmatch.fnmatchcase(one, pattern)
        return matches if operator != "!=" else not matches
