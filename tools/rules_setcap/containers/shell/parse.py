"""Parses shell scripts.

A script with a part that is not supported is refused as a whole (UnsupportedSyntax): to skip the part could hide a program.
"""

from __future__ import annotations

import re

from rules_setcap.containers.shell.simple_commands import SimpleCommandReader
from rules_setcap.containers.shell.syntax import (
    AndOr,
    ArithmeticCommand,
    BraceGroup,
    Case,
    Command,
    CommandList,
    DoubleBracket,
    For,
    FunctionDefinition,
    If,
    Literal,
    Pipeline,
    SimpleCommand,
    Subshell,
    While,
    Word,
)

_RESERVED = frozenset("if then elif else fi for in do done while until case esac { } ! [[ function select coproc time".split())
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED_FORM = re.compile(r"[a-z]+|[{}!]|\[\[")
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_:.-]*[ \t]*\([ \t]*\)")
_FUNCTION_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_:.-]*)[ \t]*(\([ \t]*\))?")
_TEST_OPERATOR = re.compile(r"&&|\|\||[()<>]|=~")
_MAX_DEPTH = 100
_MAX_SUBSTITUTION_DEPTH = 50


def parse_script(text: str) -> CommandList:
    """Parses a whole script.

    Raises:
      UnsupportedSyntax: a part of the script is not supported, or invalid.
    """
    parser = Parser(text)
    body = parser.parse_list(())
    if not parser.at_end():
        raise parser.make_error()
    return body


class Parser(SimpleCommandReader):
    """A recursive descent parser over the text."""

    def parse_substitution(self) -> CommandList:
        """Parses the commands with a parser of their own, so that their here-documents end with them."""
        inner = Parser(self.text)
        inner.at, inner.depth = self.at, self.depth + 1
        if inner.depth > _MAX_SUBSTITUTION_DEPTH:
            raise self.make_error()
        body = inner.parse_list((")",))
        if inner.peek() != ")":
            raise self.make_error()
        self.at = inner.at + 1
        return body

    def parse_text(self, text: str) -> CommandList:
        """Parses the text as a script of its own."""
        return parse_script(text)

    def parse_list(self, ends: tuple[str, ...]) -> CommandList:
        """Parses commands up to the end of the text, or up to one of the ends, which is not read.

        Args:
          ends: reserved words, ")" or ";;".
        """
        items: list[AndOr] = []
        while True:
            self.skip_newlines()
            if self.at_end() or self._is_end(ends):
                return CommandList(tuple(items))
            items.append(self._parse_and_or())
            self.skip_blanks()
            if self.text.startswith(";;", self.at) or self.text.startswith(";&", self.at):
                return CommandList(tuple(items))
            if self.peek() == ";":
                self.at += 1
            elif self.peek() == "&" and not self.text.startswith("&&", self.at):
                self.at += 1
                items[-1] = AndOr(items[-1].first, items[-1].rest, background=True)
            elif self.peek() not in ("\n", "") and not self._is_end(ends):
                raise self.make_error()

    def _is_end(self, ends: tuple[str, ...]) -> bool:
        """Returns whether one of the ends is next."""
        if self.peek() == ")":
            return ")" in ends
        if self.text.startswith((";;", ";&"), self.at):
            return ";;" in ends
        return bool(ends) and self._peek_reserved_word() in ends

    def _peek_reserved_word(self) -> str:
        """Returns the next word if it is a reserved one, else ""."""
        match = _RESERVED_FORM.match(self.text, self.at)
        if not match or match[0] not in _RESERVED:
            return ""
        after = self.text[match.end() : match.end() + 1]
        return match[0] if after in ("", " ", "\t", "\n", ";", "&", "|", "(", ")", "<", ">") else ""

    def _expect(self, word: str) -> None:
        """Reads a reserved word that has to be next."""
        self.skip_newlines()
        if self._peek_reserved_word() != word:
            raise self.make_error()
        self.at += len(word)

    def _parse_and_or(self) -> AndOr:
        """Parses pipelines with && and || between them."""
        first = self._parse_pipeline()
        rest: list[tuple[str, Pipeline]] = []
        while True:
            self.skip_blanks()
            operator = self.text[self.at : self.at + 2]
            if operator not in ("&&", "||"):
                return AndOr(first, tuple(rest))
            self.at += 2
            self.skip_newlines()
            rest.append((operator, self._parse_pipeline()))

    def _parse_pipeline(self) -> Pipeline:
        """Parses commands with | between them."""
        self.skip_blanks()
        line, negated = self.find_line(), False
        while self._peek_reserved_word() in ("!", "time"):
            word = self._peek_reserved_word()
            self.at += len(word)
            negated ^= word == "!"
            self.skip_blanks()
            if word == "time" and self.text.startswith("-p ", self.at):
                self.at += 3
                self.skip_blanks()
        commands = [self._parse_command()]
        while True:
            self.skip_blanks()
            if self.peek() != "|" or self.text.startswith("||", self.at):
                return Pipeline(tuple(commands), negated, line)
            self.at += 2 if self.text.startswith("|&", self.at) else 1
            self.skip_newlines()
            commands.append(self._parse_command())

    def _parse_command(self) -> Command:
        """Parses a command of any kind."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.make_error()
        command = self._parse_any_command()
        self.depth -= 1
        return command

    def _parse_any_command(self) -> Command:
        """Parses a command of any kind; _parse_command() limits the depth."""
        self.skip_blanks()
        word = self._peek_reserved_word()
        command: Command
        if self.text.startswith("((", self.at):
            self.skip_arithmetic()
            command = ArithmeticCommand()
        elif self.peek() == "(":
            self.at += 1
            command = Subshell(self._parse_until(")"))
        elif word == "{":
            self.at += 1
            command = BraceGroup(self.parse_list(("}",)))
            self._expect("}")
        elif word == "if":
            command = self._parse_if()
        elif word == "for":
            command = self._parse_for()
        elif word in ("while", "until"):
            self.at += 5
            condition = self.parse_list(("do",))
            command = While(condition, self._parse_do(), word == "until")
        elif word == "case":
            command = self._parse_case()
        elif word == "[[":
            return self._parse_double_bracket()
        elif word == "function":
            self.at += 8
            self.skip_blanks()
            return self._parse_function()
        elif word:
            raise self.make_error()
        elif _FUNCTION.match(self.text, self.at):
            return self._parse_function()
        else:
            return self.parse_simple_command()
        self.skip_redirections()
        return command

    def _parse_until(self, end: str) -> CommandList:
        """Parses commands up to a character, and reads it."""
        body = self.parse_list((end,))
        if self.peek() != end:
            raise self.make_error()
        self.at += 1
        return body

    def _parse_function(self) -> FunctionDefinition:
        """Parses a function definition from the name on."""
        match = _FUNCTION_NAME.match(self.text, self.at)
        if not match:
            raise self.make_error()
        self.at = match.end()
        self.skip_newlines()
        body = self._parse_command()
        if isinstance(body, (SimpleCommand, DoubleBracket, FunctionDefinition)):
            raise self.make_error()
        return FunctionDefinition(match[1], body)

    def _parse_if(self) -> If:
        """Parses an if command."""
        branches = []
        word = "if"
        while word != "else":
            self.at += len(word)
            condition = self.parse_list(("then",))
            self._expect("then")
            branches.append((condition, self.parse_list(("elif", "else", "fi"))))
            word = self._peek_reserved_word()
            if word == "fi":
                self.at += 2
                return If(tuple(branches), CommandList())
            if word not in ("elif", "else"):
                raise self.make_error()
        self.at += 4
        otherwise = self.parse_list(("fi",))
        self._expect("fi")
        return If(tuple(branches), otherwise)

    def _parse_do(self) -> CommandList:
        """Parses the body of a loop: do ... done."""
        self._expect("do")
        body = self.parse_list(("done",))
        self._expect("done")
        return body

    def _parse_for(self) -> For:
        """Parses a for loop."""
        self.at += 3
        self.skip_blanks()
        match = _NAME.match(self.text, self.at)
        if not match:
            raise self.make_error()
        self.at = match.end()
        self.skip_newlines()
        words: list[Word] | None = None
        if self._peek_reserved_word() == "in":
            self.at += 2
            words = []
            self.skip_blanks()
            while self.peek() not in (";", "\n", ""):
                words.append(self.read_word())
                self.skip_blanks()
        self.skip_blanks()
        if self.peek() == ";":
            self.at += 1
        return For(match[0], None if words is None else tuple(words), self._parse_do())

    def _parse_case(self) -> Case:
        """Parses a case command."""
        self.at += 4
        self.skip_blanks()
        word = self.read_word()
        self._expect("in")
        branches: list[tuple[tuple[Word, ...], CommandList]] = []
        falls_through = False
        while True:
            self.skip_newlines()
            if self._peek_reserved_word() == "esac":
                self.at += 4
                return Case(word, tuple(branches), falls_through)
            if self.peek() == "(":
                self.at += 1
            patterns = []
            while True:
                self.skip_blanks()
                patterns.append(self.read_word())
                self.skip_blanks()
                if self.peek() != "|":
                    break
                self.at += 1
            if self.peek() != ")":
                raise self.make_error()
            self.at += 1
            body = self.parse_list((";;", "esac"))
            branches.append((tuple(patterns), body))
            if self.text.startswith((";&", ";;&"), self.at):
                falls_through = True
                self.at += 3 if self.text.startswith(";;&", self.at) else 2
            elif self.text.startswith(";;", self.at):
                self.at += 2
            elif self._peek_reserved_word() != "esac":
                raise self.make_error()

    def _parse_double_bracket(self) -> DoubleBracket:
        """Parses [[ ... ]]."""
        line = self.find_line()
        self.at += 2
        words: list[Word] = []
        while True:
            self.skip_newlines()
            if self.text.startswith("]]", self.at) and self.text[self.at + 2 : self.at + 3] in (
                "",
                " ",
                "\t",
                "\n",
                ";",
                "&",
                "|",
                ")",
            ):
                self.at += 2
                self.skip_redirections()
                return DoubleBracket(tuple(words), line)
            match = _TEST_OPERATOR.match(self.text, self.at)
            if match and match[0] == "=~":
                self.at = match.end()
                self.skip_blanks()
                self.skip_regular_expression()
                words += [(Literal("=~", False),), (Literal("", True),)]
            elif match:
                self.at = match.end()
                words.append((Literal(match[0], False),))
            elif self.at_end():
                raise self.make_error()
            else:
                words.append(self.read_word())
