"""Parses shell scripts. What is not understood raises UnsupportedSyntax: a script is never half understood."""

from __future__ import annotations

import re

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
from rules_setcap.containers.shell.words import Reader

_RESERVED = frozenset("if then elif else fi for in do done while until case esac { } ! [[ function select coproc time".split())
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[[^]\n]*\])?\+?=")
_REDIRECT = re.compile(r"[0-9]*(&>>|&>|<<-|<<<|<<|>>|<&|>&|<>|>\||<|>)(?![(])")
_DECLARING = frozenset("declare export local readonly typeset".split())
_DEPTH = 100


def parse_script(text: str) -> CommandList:
    """Parses a whole script.

    Raises:
      UnsupportedSyntax: a part of it is not understood.
    """
    parser = Parser(text)
    body = parser.parse_list(())
    if not parser.at_end():
        raise parser.unparsed()
    return body


class Parser(Reader):
    """A recursive descent parser over the text."""

    def parse_substitution(self) -> CommandList:
        inner = Parser(self.text)
        inner.at, inner.depth = self.at, self.depth + 1
        if inner.depth > 50:
            raise self.unparsed()
        body = inner.parse_list((")",))
        if inner.peek() != ")":
            raise self.unparsed()
        self.at = inner.at + 1
        return body

    def parse_text(self, text: str) -> CommandList:
        return parse_script(text)

    def parse_list(self, ends: tuple[str, ...]) -> CommandList:
        """Parses lists up to one of the reserved words or characters, which stays."""
        items: list[AndOr] = []
        while True:
            self.newlines()
            if self.at_end() or self._is_end(ends):
                return CommandList(tuple(items))
            items.append(self._and_or())
            self.blanks()
            if self.text.startswith(";;", self.at) or self.text.startswith(";&", self.at):
                return CommandList(tuple(items))
            if self.peek() == ";":
                self.at += 1
            elif self.peek() == "&" and not self.text.startswith("&&", self.at):
                self.at += 1
                items[-1] = AndOr(items[-1].first, items[-1].rest, background=True)
            elif self.peek() not in ("\n", "") and not self._is_end(ends):
                raise self.unparsed()

    def _is_end(self, ends: tuple[str, ...]) -> bool:
        if self.peek() == ")":
            return ")" in ends
        if self.text.startswith((";;", ";&"), self.at):
            return ";;" in ends
        return self.reserved() in ends if ends else False

    def reserved(self) -> str:
        """Returns the reserved word here, "" if there is none."""
        match = re.compile(r"[a-z]+|[{}!]|\[\[").match(self.text, self.at)
        if not match or match[0] not in _RESERVED:
            return ""
        after = self.text[match.end() : match.end() + 1]
        return match[0] if after in ("", " ", "\t", "\n", ";", "&", "|", "(", ")", "<", ">") else ""

    def _take(self, word: str) -> None:
        self.newlines()
        if self.reserved() != word:
            raise self.unparsed()
        self.at += len(word)

    def _and_or(self) -> AndOr:
        first = self._pipeline()
        rest: list[tuple[str, Pipeline]] = []
        while True:
            self.blanks()
            operator = self.text[self.at : self.at + 2]
            if operator not in ("&&", "||"):
                return AndOr(first, tuple(rest))
            self.at += 2
            self.newlines()
            rest.append((operator, self._pipeline()))

    def _pipeline(self) -> Pipeline:
        self.blanks()
        line, negated = self.line(), False
        while self.reserved() in ("!", "time"):
            word = self.reserved()
            self.at += len(word)
            negated ^= word == "!"
            self.blanks()
            if word == "time" and self.text.startswith("-p ", self.at):
                self.at += 3
                self.blanks()
        commands = [self._command()]
        while True:
            self.blanks()
            if self.peek() != "|" or self.text.startswith("||", self.at):
                return Pipeline(tuple(commands), negated, line)
            self.at += 2 if self.text.startswith("|&", self.at) else 1
            self.newlines()
            commands.append(self._command())

    def _command(self) -> Command:
        self.depth += 1
        if self.depth > _DEPTH:
            raise self.unparsed()
        command = self._compound()
        self.depth -= 1
        return command

    def _compound(self) -> Command:
        self.blanks()
        word = self.reserved()
        command: Command
        if self.text.startswith("((", self.at):
            self.arithmetic()
            command = ArithmeticCommand()
        elif self.peek() == "(":
            self.at += 1
            command = Subshell(self._until(")"))
        elif word == "{":
            self.at += 1
            command = BraceGroup(self.parse_list(("}",)))
            self._take("}")
        elif word == "if":
            command = self._if()
        elif word == "for":
            command = self._for()
        elif word in ("while", "until"):
            self.at += 5
            condition = self.parse_list(("do",))
            command = While(condition, self._do(), word == "until")
        elif word == "case":
            command = self._case()
        elif word == "[[":
            return self._test()
        elif word == "function":
            self.at += 8
            self.blanks()
            return self._function()
        elif word:
            raise self.unparsed()
        elif re.compile(r"[A-Za-z_][A-Za-z0-9_:.-]*[ \t]*\([ \t]*\)").match(self.text, self.at):
            return self._function()
        else:
            return self._simple()
        self._redirects()
        return command

    def _until(self, end: str) -> CommandList:
        body = self.parse_list((end,))
        if self.peek() != end:
            raise self.unparsed()
        self.at += 1
        return body

    def _function(self) -> FunctionDefinition:
        match = re.compile(r"([A-Za-z_][A-Za-z0-9_:.-]*)[ \t]*(\([ \t]*\))?").match(self.text, self.at)
        if not match:
            raise self.unparsed()
        self.at = match.end()
        self.newlines()
        body = self._command()
        if isinstance(body, (SimpleCommand, DoubleBracket, FunctionDefinition)):
            raise self.unparsed()
        return FunctionDefinition(match[1], body)

    def _if(self) -> If:
        branches = []
        word = "if"
        while word != "else":
            self.at += len(word)
            condition = self.parse_list(("then",))
            self._take("then")
            branches.append((condition, self.parse_list(("elif", "else", "fi"))))
            word = self.reserved()
            if word == "fi":
                self.at += 2
                return If(tuple(branches), CommandList())
            if word not in ("elif", "else"):
                raise self.unparsed()
        self.at += 4
        otherwise = self.parse_list(("fi",))
        self._take("fi")
        return If(tuple(branches), otherwise)

    def _do(self) -> CommandList:
        self._take("do")
        body = self.parse_list(("done",))
        self._take("done")
        return body

    def _for(self) -> For:
        self.at += 3
        self.blanks()
        match = _NAME.match(self.text, self.at)
        if not match:
            raise self.unparsed()
        self.at = match.end()
        self.newlines()
        words: list[Word] | None = None
        if self.reserved() == "in":
            self.at += 2
            words = []
            while self.blanks() or self.peek() not in (";", "\n", ""):
                words.append(self.word())
        self.blanks()
        if self.peek() == ";":
            self.at += 1
        return For(match[0], None if words is None else tuple(words), self._do())

    def _case(self) -> Case:
        self.at += 4
        self.blanks()
        word = self.word()
        self._take("in")
        branches: list[tuple[tuple[Word, ...], CommandList]] = []
        falls = False
        while True:
            self.newlines()
            if self.reserved() == "esac":
                self.at += 4
                return Case(word, tuple(branches), falls)
            if self.peek() == "(":
                self.at += 1
            patterns = []
            while True:
                self.blanks()
                patterns.append(self.word())
                self.blanks()
                if self.peek() != "|":
                    break
                self.at += 1
            if self.peek() != ")":
                raise self.unparsed()
            self.at += 1
            body = self.parse_list((";;", "esac"))
            branches.append((tuple(patterns), body))
            if self.text.startswith((";&", ";;&"), self.at):
                falls = True
                self.at += 3 if self.text.startswith(";;&", self.at) else 2
            elif self.text.startswith(";;", self.at):
                self.at += 2
            elif self.reserved() != "esac":
                raise self.unparsed()

    def _test(self) -> DoubleBracket:
        line = self.line()
        self.at += 2
        words: list[Word] = []
        while True:
            self.newlines()
            if self.text.startswith("]]", self.at) and self.text[self.at + 2 : self.at + 3] in ("", " ", "\t", "\n", ";", "&", "|", ")"):
                self.at += 2
                self._redirects()
                return DoubleBracket(tuple(words), line)
            match = re.compile(r"&&|\|\||[()<>]|=~").match(self.text, self.at)
            if match and match[0] == "=~":
                self.at = match.end()
                self.blanks()
                self.regex()
                words += [(Literal("=~", False),), (Literal("", True),)]
            elif match:
                self.at = match.end()
                words.append((Literal(match[0], False),))
            elif self.at_end():
                raise self.unparsed()
            else:
                words.append(self.word())

    def _simple(self) -> SimpleCommand:
        line = self.line()
        assignments: list[tuple[str, Word | None]] = []
        words: list[Word] = []
        redirected = False
        while True:
            self.blanks()
            if self.peek() in ("", "\n", ";", "|", ")") or self.peek() == "&" and not self.text.startswith("&>", self.at):
                break
            if self._redirect():
                redirected = True
                continue
            match = _ASSIGNMENT.match(self.text, self.at)
            if match and (not words or self.text[match.end() : match.end() + 1] == "(" or _declares(words[0])):
                name = _NAME.match(match[0])
                assert name
                self.at = match.end()
                plain = match[0] == name[0] + "="
                if self.peek() == "(":
                    self.array()
                    plain = False
                value: Word = ()
                if self.peek() not in ("", " ", "\t", "\n", ";", "&", "|", ")"):
                    value = self.word()
                assignments.append((name[0], value if plain else None))
                continue
            if self.peek() == "(":
                raise self.unparsed()
            words.append(self.word())
        if not words and not assignments and not redirected:
            raise self.unparsed()
        return SimpleCommand(tuple(assignments), tuple(words), line, redirected)

    def _redirects(self) -> None:
        while self.blanks() or self._redirect():
            pass

    def _redirect(self) -> bool:
        match = _REDIRECT.match(self.text, self.at)
        if not match:
            return False
        self.at = match.end()
        self.blanks()
        if match[1] in ("<<", "<<-"):
            self.heredoc(match[1] == "<<-")
        else:
            self.word()
        return True


def _declares(word: Word) -> bool:
    """Returns whether a command's words are assignments: its name is export or the like."""
    return len(word) == 1 and isinstance(word[0], Literal) and word[0].text in _DECLARING
