"""Splits a command line into words as a POSIX shell does.

What only a running shell can replace ($X, ${X:-1}, $(command), `command`, $((1+1))) stays in a word as one character that
stands for it; Line.shown() puts the text back. Words are as dash and bash make them (POSIX.1-2024, XCU 2.2 "Quoting" and
2.3 "Token Recognition"), and the tests compare them with both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rules_setcap.diagnostics.errors import quote

_MAX_EXPANSIONS = 1000
_MAX_NESTED = 50
_MARKS = 0xF0000  # The first of a plane for private use.

_PROMPT = re.compile(r"(?:[\w.-]+@[\w.-]+(?::[^\s'\"]*)?)?[$#%] +(?=\S)", re.ASCII)
_OPERATOR = re.compile(r"&&|\|\||;;|<<|>>|[|&;<>()\n]")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9#?$!-]", re.ASCII)
_MANY = re.compile(r"\$(?:[@*]|\{[@*]\}?|\{[A-Za-z_][A-Za-z0-9_]*\[[@*]\]\}?)", re.ASCII)
_CHANGES = {
    "\n": "goes on in another line; end each line of the command but the last with a backslash, and give one command alone",
    "<": "a redirection; leave it out, or quote it",
    ">": "a redirection; leave it out, or quote it",
    "(": "a subshell or a function; give the one command alone, or quote it",
    ")": "a subshell or a function; give the one command alone, or quote it",
}


@dataclass(frozen=True)
class Line:
    """The words of a command line.

    Attributes:
      words: the words. A character of `expansions` stands for what only a shell can replace.
      expansions: texts by the code of the character that stands for them.
    """

    words: tuple[str, ...]
    expansions: dict[int, str]

    def shown(self, text: str) -> str:
        """Returns a part of a word as it was typed, without quotes."""
        return text.translate(self.expansions)

    def unknown(self, text: str) -> list[str]:
        """Returns the expansions in a part of a word."""
        return [self.expansions[ord(each)] for each in text if ord(each) in self.expansions]


def split_command_line(text: str) -> Line:
    """Splits a command line.

    A shell's prompt before it, comments, and the ">" of continued lines after a prompt are left out.

    Raises:
      ValueError: it is not one simple command, with what to write instead.
    """
    text = text.replace("\r\n", "\n").lstrip(" \t\n")
    prompt = _PROMPT.match(text)
    # A line that begins with "#" is a comment, unless there is no other line: then it is what root's prompt looks like.
    if prompt and not (prompt[0].startswith("#") and "\n" in text.replace("\\\n", "")):
        text = re.sub(r"\\\n> ?", "\\\n", text[prompt.end() :])
    return _Splitter(text).line()


class _Splitter:
    """Reads a command line character by character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.words: list[str] = []
        self.expansions: dict[int, str] = {}
        self.marks = (mark for mark in range(_MARKS, _MARKS + 0xFFFE) if chr(mark) not in text)
        self.word: list[str] | None = None
        self.braces: list[bool] = []

    def line(self) -> Line:
        while self.at < len(self.text):
            self.step(self.text[self.at])
        self.end()
        return Line(tuple(self.words), self.expansions)

    def end(self) -> None:
        """Ends a word."""
        if self.word is not None:
            self.words.append("".join(self.word))
        self.word = None
        self.braces = []

    def add(self, text: str) -> None:
        """Adds text to the word, which begins with it if there is none."""
        self.word = [] if self.word is None else self.word
        self.word.append(text)

    def step(self, character: str) -> None:
        """Reads one character outside quotes, or what begins with it."""
        text, at = self.text, self.at
        if text.startswith("\\\n", at):
            self.at += 2
        elif character in " \t":
            self.end()
            self.at += 1
        elif character == "#" and self.word is None:
            end = text.find("\n", at)
            self.at = len(text) if end < 0 else end
        elif operator := _OPERATOR.match(text, at):
            self.end()
            self.operator(operator[0])
        elif character == "'":
            self.add(self.until("'", at + 1))
        elif character == '"':
            self.at += 1
            self.add("")
            self.double()
        elif character == "\\":
            if at + 1 == len(text):
                raise ValueError("ends with a backslash; leave it out, or write the line that it continues")
            self.add(text[at + 1])
            self.at += 2
        elif character in "$`":
            self.expansion(quoted=False)
        else:
            self.brace(character)
            self.add(character)
            self.at += 1

    def operator(self, operator: str) -> None:
        """Passes over line ends before the command and after it; refuses all else."""
        if operator == "\n" and not self.words:
            self.at += 1
            return
        rest = self.text[self.at :].split("\n")
        if operator == "\n" and all(line.lstrip(" \t")[:1] in ("", "#") for line in rest):
            self.at = len(self.text)
            return
        what = _CHANGES.get(operator[0])
        if operator == "\n":
            raise ValueError(what)
        what = what or "that is more than one command; give the one that makes the container, or quote it"
        raise ValueError(f"has {quote(operator)} of the shell in it: {what}")

    def until(self, end: str, at: int) -> str:
        """Returns the text up to a closing character, and goes on after that."""
        found = self.text.find(end, at)
        if found < 0:
            raise ValueError(f"no closing {end}; write it, or a backslash before the one that opens")
        self.at = found + 1
        return self.text[at:found]

    def double(self) -> None:
        """Reads what is in double quotes."""
        text = self.text
        while self.at < len(text):
            character, after = text[self.at], text[self.at + 1 : self.at + 2]
            if character == '"':
                self.at += 1
                return
            if character == "\\" and after and after in '$`"\\\n':
                self.add("" if after == "\n" else after)
                self.at += 2
            elif character in "$`":
                self.expansion(quoted=True)
            else:
                self.add(character)
                self.at += 1
        raise ValueError('no closing "; write it, or a backslash before the one that opens')

    def brace(self, character: str) -> None:
        """Refuses what bash and sh read differently: {a,b} and {1..3}."""
        if character == "{":
            self.braces.append(False)
        elif self.braces and (character == "," or self.text.startswith("..", self.at)):
            self.braces[-1] = True
        elif character == "}" and self.braces and self.braces.pop():
            raise ValueError("has braces that bash replaces by several words, and sh does not; write the words out, or quote them")

    def expansion(self, quoted: bool) -> None:
        """Reads what only a shell can replace, or a "$" that is nothing more."""
        text, at = self.text, self.at
        if not quoted and text[at + 1 : at + 2] in ("'", '"') and text[at] == "$":
            what = "which bash and sh read differently; leave out the $, or put a backslash before it"
            raise ValueError(f"has {quote(text[at : at + 2])}, {what}")
        if many := _MANY.match(text, at):
            raise ValueError(f"has {quote(many[0])}, which stands for any number of words; write them")
        if text[at] == "`" or text.startswith(("$(", "${"), at):
            self.at = end = self.closing(at, quoted)
        elif name := _PARAMETER.match(text, at + 1):
            self.at = end = name.end()
        else:
            self.add("$")
            self.at += 1
            return
        mark = next(self.marks, None)
        if mark is None or len(self.expansions) == _MAX_EXPANSIONS:
            raise ValueError(f"has more than {_MAX_EXPANSIONS} variables and commands that a shell would replace")
        self.expansions[mark] = text[at:end]
        self.add(chr(mark))

    def closing(self, at: int, quoted: bool, depth: int = 0) -> int:
        """Returns the position after a substitution that begins at `at`.

        Quotes and substitutions in it are passed over as wholes; the patterns of a `case` in it are not understood.
        """
        text = self.text
        if depth > _MAX_NESTED:
            raise ValueError(f"has commands and variables nested deeper than {_MAX_NESTED}")
        opening, close = ("`", "`") if text[at] == "`" else (text[at + 1], {"(": ")", "{": "}"}[text[at + 1]])
        level, begin = 1, at
        at += 1 if opening == "`" else 2
        double = False
        while at < len(text):
            character = text[at]
            if character == "\\":
                at += 2
                continue
            if character == close and not double:
                level -= 1
                if not level:
                    return at + 1
            elif character == "'" and opening != "`" and not double and not (quoted and opening == "{"):
                at = text.find("'", at + 1)
                if at < 0:
                    break
            elif character == '"' and opening != "`":
                double = not double
            elif opening != "`" and (character == "`" or text.startswith(("$(", "${"), at)):
                at = self.closing(at, double or (quoted and opening == "{"), depth + 1)
                continue
            elif character == "(" and opening == "(" and not double:
                level += 1
            at += 1
        raise ValueError(f"no end of {quote(text[begin : begin + 20])}; write {quote(close)}, or quote it")

