"""Reads the simple commands of a shell script: assignments, words and redirections."""

from __future__ import annotations

import re

from rules_setcap.containers.shell.syntax import Literal, SimpleCommand, Word
from rules_setcap.containers.shell.words import Reader

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[[^]\n]*\])?\+?=")
_REDIRECTION = re.compile(r"[0-9]*(&>>|&>|<<-|<<<|<<|>>|<&|>&|<>|>\||<|>)(?![(])")
_DECLARING = frozenset("declare export local readonly typeset".split())
"""The commands whose arguments are assignments."""


class SimpleCommandReader(Reader):
    """A reader of simple commands and of redirections."""

    def parse_simple_command(self) -> SimpleCommand:
        """Parses assignments, the words of a command and its redirections, in any order."""
        line = self.find_line()
        assignments: list[tuple[str, Word | None]] = []
        words: list[Word] = []
        redirected = False
        while True:
            self.skip_blanks()
            if self.peek() in ("", "\n", ";", "|", ")") or (self.peek() == "&" and not self.text.startswith("&>", self.at)):
                break
            if self._skip_redirection():
                redirected = True
                continue
            match = _ASSIGNMENT.match(self.text, self.at)
            if match and (not words or self.text[match.end() : match.end() + 1] == "(" or _declares(words[0])):
                name = _NAME.match(match[0])
                assert name
                self.at = match.end()
                is_computed = match[0] == name[0] + "="
                if self.peek() == "(":
                    self.skip_array()
                    is_computed = False
                value: Word = ()
                if self.peek() not in ("", " ", "\t", "\n", ";", "&", "|", ")"):
                    value = self.read_word()
                assignments.append((name[0], value if is_computed else None))
                continue
            if self.peek() == "(":
                raise self.make_error()
            words.append(self.read_word())
        if not words and not assignments and not redirected:
            raise self.make_error()
        return SimpleCommand(tuple(assignments), tuple(words), line, redirected)

    def skip_redirections(self) -> None:
        """Skips the redirections after a compound command."""
        self.skip_blanks()
        while self._skip_redirection():
            self.skip_blanks()

    def _skip_redirection(self) -> bool:
        """Skips a redirection; returns whether there is one."""
        match = _REDIRECTION.match(self.text, self.at)
        if not match:
            return False
        self.at = match.end()
        self.skip_blanks()
        if match[1] in ("<<", "<<-"):
            self.read_heredoc_delimiter(match[1] == "<<-")
        else:
            self.read_word()
        return True


def _declares(word: Word) -> bool:
    """Returns whether the arguments of a command with this name are assignments."""
    return len(word) == 1 and isinstance(word[0], Literal) and word[0].text in _DECLARING
