"""Reads the words of a shell script: quoting and expansions."""

from __future__ import annotations

import re

from rules_setcap.containers.shell.syntax import (
    CommandList,
    CommandSubstitution,
    Literal,
    Opaque,
    Parameter,
    Part,
    UnsupportedSyntax,
    Word,
)

_META = frozenset(" \t\n;&|()<>")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]|[@*#?$!-]")
_BRACED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_OPERATOR = re.compile(r":[-=?+]|[-=?+]|##?|%%?")


class Reader:
    """The text of a script, and how far it has been read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self._heredocs: list[tuple[str, bool]] = []

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def at_end(self) -> bool:
        return self.at >= len(self.text)

    def line(self) -> int:
        """Returns the number of the current line, from 1."""
        return self.text.count("\n", 0, self.at) + 1

    def unparsed(self) -> UnsupportedSyntax:
        number = self.line()
        return UnsupportedSyntax(number, self.text.split("\n")[number - 1].strip() if self.text else "")

    def blanks(self) -> bool:
        """Skips spaces, continued lines and a comment; returns False."""
        while True:
            if self.peek() in (" ", "\t") and self.peek():
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            elif self.peek() == "#" and (self.at == 0 or self.text[self.at - 1] in " \t\n;&|()"):
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return False

    def newlines(self) -> None:
        """Skips blanks and newlines, and here-documents after a newline."""
        while True:
            self.blanks()
            if self.peek() != "\n":
                return
            self.at += 1
            self._skip_heredocs()

    def heredoc(self, tabs: bool) -> None:
        """Reads the delimiter of a here-document, whose lines follow the next newline."""
        word = self.word()
        if not all(isinstance(part, Literal) for part in word):
            raise self.unparsed()
        self._heredocs.append(("".join(part.text for part in word if isinstance(part, Literal)), tabs))

    def _skip_heredocs(self) -> None:
        for delimiter, tabs in self._heredocs:
            while True:
                if self.at_end():
                    raise self.unparsed()
                end = self.text.find("\n", self.at)
                end = len(self.text) if end < 0 else end
                line = self.text[self.at : end]
                self.at = min(end + 1, len(self.text))
                if (line.lstrip("\t") if tabs else line) == delimiter:
                    break
        self._heredocs = []

    def word(self) -> Word:
        """Reads a word."""
        parts: list[Part] = []
        start = self.at
        while not self.at_end():
            each = self.peek()
            if self.text.startswith(("<(", ">("), self.at):
                self.at += 2
                self.parse_substitution()
                parts.append(Opaque(True))
            elif each in _META:
                break
            elif each == "\\":
                if self.text[self.at + 1 : self.at + 2] != "\n":
                    parts.append(Literal(self.text[self.at + 1 : self.at + 2], True))
                self.at += 2
            elif each == "'":
                parts.append(Literal(self._single(), True))
            elif each == '"':
                self.at += 1
                parts += self._double()
            elif each == "$" and self.text[self.at + 1 : self.at + 2] == "'":
                self.at += 1
                text = self._ansi()
                parts.append(Opaque(True) if "\\" in text else Literal(text, True))
            elif each == "$" and self.text[self.at + 1 : self.at + 2] == '"':
                self.at += 2
                parts += self._double()
            elif each in "$`":
                parts.append(self._expansion(quoted=False))
            else:
                parts.append(Literal(each, False))
                self.at += 1
        if self.at == start:
            raise self.unparsed()
        return _joined(parts)

    def _single(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise self.unparsed()
        text = self.text[self.at + 1 : end]
        self.at = end + 1
        return text

    def _ansi(self) -> str:
        start = self.at = self.at + 1
        while self.peek() != "'":
            if self.at_end():
                raise self.unparsed()
            self.at += 2 if self.peek() == "\\" else 1
        self.at += 1
        return self.text[start : self.at - 1]

    def _double(self) -> list[Part]:
        parts: list[Part] = [Literal("", True)]
        while self.peek() != '"':
            if self.at_end():
                raise self.unparsed()
            if self.peek() == "\\":
                after = self.text[self.at + 1 : self.at + 2]
                if after != "\n":
                    parts.append(Literal(after if after in '$`"\\' else "\\" + after, True))
                self.at += 2
            elif self.peek() in ("$", "`"):
                parts.append(self._expansion(quoted=True))
            else:
                parts.append(Literal(self.peek(), True))
                self.at += 1
        self.at += 1
        return parts

    def _expansion(self, quoted: bool) -> Part:
        if self.peek() == "`":
            return self._backquoted(quoted)
        if self.text.startswith("$((", self.at):
            self.at += 1
            self.arithmetic()
            return Opaque(quoted)
        if self.text.startswith("$(", self.at):
            self.at += 2
            return CommandSubstitution(self.parse_substitution(), quoted)
        if self.text.startswith("${", self.at):
            return self._braced(quoted)
        match = _NAME.match(self.text, self.at + 1)
        if not match:
            self.at += 1
            return Literal("$", quoted)
        self.at = match.end()
        return Parameter(match[0], quoted)

    def parse_substitution(self) -> CommandList:
        """Parses commands up to the closing parenthesis, and skips it."""
        raise NotImplementedError

    def parse_text(self, text: str) -> CommandList:
        """Parses the commands of a text that is not a part of the script, such as that of a `...`."""
        raise NotImplementedError

    def _backquoted(self, quoted: bool) -> Part:
        start = self.at = self.at + 1
        while self.peek() != "`":
            if self.at_end():
                raise self.unparsed()
            self.at += 2 if self.peek() == "\\" else 1
        text = re.sub(r"\\([$`\\])", r"\1", self.text[start : self.at])
        self.at += 1
        return CommandSubstitution(self.parse_text(text), quoted)

    def arithmetic(self) -> None:
        """Skips ((...))."""
        depth = 0
        while not self.at_end():
            each = self.peek()
            if each in "'\"`\\":
                raise self.unparsed()
            depth += (each == "(") - (each == ")")
            self.at += 1
            if depth == 0:
                return
        raise self.unparsed()

    def _braced(self, quoted: bool) -> Part:
        self.at += 2
        length = self.peek() == "#" and self.text[self.at + 1 : self.at + 2] != "}"
        if length:
            self.at += 1
        match = _BRACED.match(self.text, self.at)
        if not match:
            self._skip_braced()
            return Opaque(quoted)
        self.at = match.end()
        name = match[0]
        if self.text.startswith("[0]", self.at) and name == "BASH_SOURCE":
            self.at += 3
        if self.peek() == "}":
            self.at += 1
            return Parameter(name, quoted, length=length)
        slice_ = re.compile(r":([0-9]+)(:[0-9]+)?\}").match(self.text, self.at)
        if slice_ and not length:
            self.at = slice_.end()
            return Parameter(name, quoted, ":" + slice_[1] + (slice_[2] or ""))
        operator = _OPERATOR.match(self.text, self.at)
        if length or not operator:
            self._skip_braced()
            return Opaque(quoted)
        self.at = operator.end()
        parts: list[Part] = []
        while self.peek() != "}":
            if self.at_end():
                raise self.unparsed()
            if self.peek() == '"':
                self.at += 1
                parts += self._double()
            elif self.peek() == "'" and not quoted:
                parts.append(Literal(self._single(), True))
            elif self.peek() == "\\":
                parts.append(Literal(self.text[self.at + 1 : self.at + 2], True))
                self.at += 2
            elif self.peek() in ("$", "`"):
                parts.append(self._expansion(quoted))
            else:
                parts.append(Literal(self.peek(), quoted and operator[0][0] not in "#%"))
                self.at += 1
        self.at += 1
        return Parameter(name, quoted, operator[0], _joined(parts))

    def _skip_braced(self) -> None:
        depth = 1
        while depth:
            if self.at_end():
                raise self.unparsed()
            each = self.peek()
            if each == "'":
                self._single()
                continue
            if each == "\\":
                self.at += 1
            depth += (each == "{") - (each == "}")
            self.at += 1

    def array(self) -> None:
        """Skips the words of an array: (...)."""
        self.at += 1
        while True:
            self.newlines()
            if self.peek() == ")":
                self.at += 1
                return
            if self.at_end():
                raise self.unparsed()
            self.word()

    def regex(self) -> None:
        """Skips the pattern after =~ in [[ ]]."""
        depth = 0
        while not self.at_end():
            each = self.peek()
            if each in " \t\n)" and depth == 0:
                return
            if each == "'":
                self._single()
                continue
            if each == "\\":
                self.at += 1
            depth += (each in "([") - (each in ")]")
            self.at += 1
        raise self.unparsed()


def _joined(parts: list[Part]) -> Word:
    """Joins neighbouring literals."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, Literal) and isinstance(last, Literal) and part.quoted == last.quoted:
            joined[-1] = Literal(last.text + part.text, part.quoted)
        else:
            joined.append(part)
    return tuple(joined)
