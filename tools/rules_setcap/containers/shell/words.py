"""Reads the words of a shell script, with their quotes and expansions."""

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

_METACHARACTERS = frozenset(" \t\n;&|()<>")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]|[@*#?$!-]")
_NAME_IN_BRACES = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_SUBSTRING = re.compile(r":([0-9]+)(:[0-9]+)?\}")
_OPERATOR = re.compile(r":[-=?+]|[-=?+]|##?|%%?")


class Reader:
    """A reader of the words of a script.

    Words may contain commands. parse.Parser, a subclass, parses these.

    Attributes:
      text: the script.
      at: the position up to which it has been read.
      depth: the nesting of commands at that position.
    """

    def __init__(self, text: str) -> None:
        """Takes the script."""
        self.text = text
        self.at = 0
        self.depth = 0
        self._heredocs: list[tuple[str, bool]] = []

    def peek(self) -> str:
        """Returns the next character; "" at the end of the text."""
        return self.text[self.at : self.at + 1]

    def at_end(self) -> bool:
        """Returns whether all of the text has been read."""
        return self.at >= len(self.text)

    def find_line(self) -> int:
        """Returns the number of the current line, from 1."""
        return self.text.count("\n", 0, self.at) + 1

    def make_error(self) -> UnsupportedSyntax:
        """Returns the exception for the current line."""
        number = self.find_line()
        return UnsupportedSyntax(number, self.text.split("\n")[number - 1].strip() if self.text else "")

    def skip_blanks(self) -> None:
        """Skips spaces, tabs, line continuations and a comment."""
        while True:
            if self.peek() in (" ", "\t") and self.peek():
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            elif self.peek() == "#" and (self.at == 0 or self.text[self.at - 1] in " \t\n;&|()"):
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return

    def skip_newlines(self) -> None:
        """Skips blanks and newlines, and the here-documents that begin after a newline."""
        while True:
            self.skip_blanks()
            if self.peek() != "\n":
                return
            self.at += 1
            self._skip_heredocs()

    def read_heredoc_delimiter(self, strips_tabs: bool) -> None:
        """Reads the delimiter of a here-document, whose lines begin after the next newline.

        Args:
          strips_tabs: whether the operator is <<-.
        """
        word = self.read_word()
        if not all(isinstance(part, Literal) for part in word):
            raise self.make_error()
        self._heredocs.append(("".join(part.text for part in word if isinstance(part, Literal)), strips_tabs))

    def _skip_heredocs(self) -> None:
        """Skips the lines of the here-documents whose delimiters have been read."""
        for delimiter, strips_tabs in self._heredocs:
            while True:
                if self.at_end():
                    raise self.make_error()
                end = self.text.find("\n", self.at)
                end = len(self.text) if end < 0 else end
                line = self.text[self.at : end]
                self.at = min(end + 1, len(self.text))
                if (line.lstrip("\t") if strips_tabs else line) == delimiter:
                    break
        self._heredocs = []

    def read_word(self) -> Word:
        """Reads a word.

        Raises:
          UnsupportedSyntax: there is no word, or a part of it is not supported.
        """
        parts: list[Part] = []
        start = self.at
        while not self.at_end():
            character = self.peek()
            if self.text.startswith(("<(", ">("), self.at):
                self.at += 2
                self.parse_substitution()
                parts.append(Opaque(True))
            elif character in _METACHARACTERS:
                break
            elif character == "\\":
                if self.text[self.at + 1 : self.at + 2] != "\n":
                    parts.append(Literal(self.text[self.at + 1 : self.at + 2], True))
                self.at += 2
            elif character == "'":
                parts.append(Literal(self._read_single_quoted(), True))
            elif character == '"':
                self.at += 1
                parts += self._read_double_quoted()
            elif character == "$" and self.text[self.at + 1 : self.at + 2] == "'":
                self.at += 1
                text = self._read_ansi_quoted()
                parts.append(Opaque(True) if "\\" in text else Literal(text, True))
            elif character == "$" and self.text[self.at + 1 : self.at + 2] == '"':
                self.at += 2
                parts += self._read_double_quoted()
            elif character in "$`":
                parts.append(self._read_expansion(quoted=False))
            else:
                parts.append(Literal(character, False))
                self.at += 1
        if self.at == start:
            raise self.make_error()
        return _join_literals(parts)

    def _read_single_quoted(self) -> str:
        """Reads '...'."""
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise self.make_error()
        text = self.text[self.at + 1 : end]
        self.at = end + 1
        return text

    def _read_ansi_quoted(self) -> str:
        """Reads $'...' from its first quote; returns the text with its escape sequences."""
        start = self.at = self.at + 1
        while self.peek() != "'":
            if self.at_end():
                raise self.make_error()
            self.at += 2 if self.peek() == "\\" else 1
        self.at += 1
        return self.text[start : self.at - 1]

    def _read_double_quoted(self) -> list[Part]:
        """Reads "..." after its first quote."""
        parts: list[Part] = [Literal("", True)]
        while self.peek() != '"':
            if self.at_end():
                raise self.make_error()
            if self.peek() == "\\":
                after = self.text[self.at + 1 : self.at + 2]
                if after != "\n":
                    parts.append(Literal(after if after in '$`"\\' else "\\" + after, True))
                self.at += 2
            elif self.peek() in ("$", "`"):
                parts.append(self._read_expansion(quoted=True))
            else:
                parts.append(Literal(self.peek(), True))
                self.at += 1
        self.at += 1
        return parts

    def _read_expansion(self, quoted: bool) -> Part:
        """Reads what begins with "$" or "`"."""
        if self.peek() == "`":
            return self._read_backquoted(quoted)
        if self.text.startswith("$((", self.at):
            self.at += 1
            self.skip_arithmetic()
            return Opaque(quoted)
        if self.text.startswith("$(", self.at):
            self.at += 2
            return CommandSubstitution(self.parse_substitution(), quoted)
        if self.text.startswith("${", self.at):
            return self._read_braced(quoted)
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

    def _read_backquoted(self, quoted: bool) -> Part:
        """Reads `...`."""
        start = self.at = self.at + 1
        while self.peek() != "`":
            if self.at_end():
                raise self.make_error()
            self.at += 2 if self.peek() == "\\" else 1
        text = re.sub(r"\\([$`\\])", r"\1", self.text[start : self.at])
        self.at += 1
        return CommandSubstitution(self.parse_text(text), quoted)

    def skip_arithmetic(self) -> None:
        """Skips ((...))."""
        depth = 0
        while not self.at_end():
            character = self.peek()
            if character in "'\"`\\":
                raise self.make_error()
            depth += (character == "(") - (character == ")")
            self.at += 1
            if depth == 0:
                return
        raise self.make_error()

    def _read_braced(self, quoted: bool) -> Part:
        """Reads ${...}; an expansion that is not supported becomes Opaque."""
        self.at += 2
        length = self.peek() == "#" and self.text[self.at + 1 : self.at + 2] != "}"
        if length:
            self.at += 1
        match = _NAME_IN_BRACES.match(self.text, self.at)
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
        substring = _SUBSTRING.match(self.text, self.at)
        if substring and not length:
            self.at = substring.end()
            return Parameter(name, quoted, ":" + substring[1] + (substring[2] or ""))
        operator = _OPERATOR.match(self.text, self.at)
        if length or not operator:
            self._skip_braced()
            return Opaque(quoted)
        self.at = operator.end()
        parts: list[Part] = []
        while self.peek() != "}":
            if self.at_end():
                raise self.make_error()
            if self.peek() == '"':
                self.at += 1
                parts += self._read_double_quoted()
            elif self.peek() == "'" and not quoted:
                parts.append(Literal(self._read_single_quoted(), True))
            elif self.peek() == "\\":
                parts.append(Literal(self.text[self.at + 1 : self.at + 2], True))
                self.at += 2
            elif self.peek() in ("$", "`"):
                parts.append(self._read_expansion(quoted))
            else:
                parts.append(Literal(self.peek(), quoted and operator[0][0] not in "#%"))
                self.at += 1
        self.at += 1
        return Parameter(name, quoted, operator[0], _join_literals(parts))

    def _skip_braced(self) -> None:
        """Skips the rest of ${...}."""
        depth = 1
        while depth:
            if self.at_end():
                raise self.make_error()
            character = self.peek()
            if character == "'":
                self._read_single_quoted()
                continue
            if character == "\\":
                self.at += 1
            depth += (character == "{") - (character == "}")
            self.at += 1

    def skip_array(self) -> None:
        """Skips the words of an array: (...)."""
        self.at += 1
        while True:
            self.skip_newlines()
            if self.peek() == ")":
                self.at += 1
                return
            if self.at_end():
                raise self.make_error()
            self.read_word()

    def skip_regular_expression(self) -> None:
        """Skips the regular expression after =~ in [[ ]]."""
        depth = 0
        while not self.at_end():
            character = self.peek()
            if character in " \t\n)" and depth == 0:
                return
            if character == "'":
                self._read_single_quoted()
                continue
            if character == "\\":
                self.at += 1
            depth += (character in "([") - (character in ")]")
            self.at += 1
        raise self.make_error()


def _join_literals(parts: list[Part]) -> Word:
    """Returns the parts of a word with neighbouring literals joined."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, Literal) and isinstance(last, Literal) and part.quoted == last.quoted:
            joined[-1] = Literal(last.text + part.text, part.quoted)
        else:
            joined.append(part)
    return tuple(joined)
