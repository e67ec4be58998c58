"""Splits a command line into words as a POSIX shell does.

An expansion that only a running shell can replace ($X, ${X:-1}, $(command), `command`, $((1+1))) stays in its word as one
placeholder character; CommandLine.restore() puts its text back. The words are those of dash and bash (POSIX.1-2024, XCU 2.2
"Quoting" and 2.3 "Token Recognition"), and the tests compare them with both shells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rules_setcap.diagnostics.errors import quote

_MAX_EXPANSIONS = 1000
_MAX_NESTED = 50
_FIRST_PLACEHOLDER = 0xF0000  # The first character of a Unicode plane for private use.

_PROMPT = re.compile(r"(?:[\w.-]+@[\w.-]+(?::[^\s'\"]*)?)?[$#%] +(?=\S)", re.ASCII)
_OPERATOR = re.compile(r"&&|\|\||;;|<<|>>|[|&;<>()\n]")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9#?$!-]", re.ASCII)
_MANY = re.compile(r"\$(?:[@*]|\{[@*]\}?|\{[A-Za-z_][A-Za-z0-9_]*\[[@*]\]\}?)", re.ASCII)
_ADVICE = {
    "\n": "goes on in another line; end each line of the command but the last with a backslash, and give one command alone",
    "<": "a redirection; leave it out, or quote it",
    ">": "a redirection; leave it out, or quote it",
    "(": "a subshell or a function; give the one command alone, or quote it",
    ")": "a subshell or a function; give the one command alone, or quote it",
}


@dataclass(frozen=True)
class CommandLine:
    """The words of a command line.

    Attributes:
      words: the words, in which each expansion is a placeholder character.
      expansions: the texts of the expansions, by the code of their placeholder.
    """

    words: tuple[str, ...]
    expansions: dict[int, str]

    def restore(self, text: str) -> str:
        """Returns a part of a word as it was typed, without quotes."""
        return text.translate(self.expansions)

    def find_expansions(self, text: str) -> list[str]:
        """Returns the texts of the expansions in a part of a word."""
        return [self.expansions[ord(character)] for character in text if ord(character) in self.expansions]


def split_command_line(text: str) -> CommandLine:
    """Splits a command line into words.

    A shell's prompt before the command, comments, and the ">" of continued lines after a prompt are left out.

    Raises:
      ValueError: the text is not one simple command; the error says what to write instead.
    """
    text = text.replace("\r\n", "\n").lstrip(" \t\n")
    prompt = _PROMPT.match(text)
    # A line that begins with "#" is a comment. If there is no other line, it is root's prompt.
    if prompt and not (prompt[0].startswith("#") and "\n" in text.replace("\\\n", "")):
        text = re.sub(r"\\\n> ?", "\\\n", text[prompt.end() :])
    return _Splitter(text).split()


class _Splitter:
    """A reader of a command line, character by character.

    Attributes:
      at: the position of the next character.
      word: the parts of the current word; None between words.
      braces: for each open brace of the current word, whether a comma or ".." follows it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.words: list[str] = []
        self.expansions: dict[int, str] = {}
        codes = range(_FIRST_PLACEHOLDER, _FIRST_PLACEHOLDER + 0xFFFE)
        self.placeholders = (code for code in codes if chr(code) not in text)
        self.word: list[str] | None = None
        self.braces: list[bool] = []

    def split(self) -> CommandLine:
        """Returns the words of the whole text."""
        while self.at < len(self.text):
            self.read_character(self.text[self.at])
        self.end_word()
        return CommandLine(tuple(self.words), self.expansions)

    def end_word(self) -> None:
        """Ends the current word, if there is one."""
        if self.word is not None:
            self.words.append("".join(self.word))
        self.word = None
        self.braces = []

    def add(self, text: str) -> None:
        """Adds a text to the current word, or begins a word with it."""
        self.word = [] if self.word is None else self.word
        self.word.append(text)

    def read_character(self, character: str) -> None:
        """Reads one character outside quotes, or the quotation, expansion or comment that it begins."""
        text, at = self.text, self.at
        if text.startswith("\\\n", at):
            self.at += 2
        elif character in " \t":
            self.end_word()
            self.at += 1
        elif character == "#" and self.word is None:
            end = text.find("\n", at)
            self.at = len(text) if end < 0 else end
        elif operator := _OPERATOR.match(text, at):
            self.end_word()
            self.read_operator(operator[0])
        elif character == "'":
            self.add(self.read_until("'", at + 1))
        elif character == '"':
            self.at += 1
            self.add("")
            self.read_double_quotes()
        elif character == "\\":
            if at + 1 == len(text):
                raise ValueError("ends with a backslash; leave it out, or write the line that it continues")
            self.add(text[at + 1])
            self.at += 2
        elif character in "$`":
            self.read_expansion(is_quoted=False)
        else:
            self.check_brace(character)
            self.add(character)
            self.at += 1

    def read_operator(self, operator: str) -> None:
        """Skips a line end before or after the command, and refuses every other operator."""
        if operator == "\n" and not self.words:
            self.at += 1
            return
        rest = self.text[self.at :].split("\n")
        if operator == "\n" and all(line.lstrip(" \t")[:1] in ("", "#") for line in rest):
            self.at = len(self.text)
            return
        what = _ADVICE.get(operator[0])
        if operator == "\n":
            raise ValueError(what)
        what = what or "that is more than one command; give the one that makes the container, or quote it"
        raise ValueError(f"has {quote(operator)} of the shell in it: {what}")

    def read_until(self, end: str, at: int) -> str:
        """Returns the text from a position to a closing character, and continues after that character."""
        position = self.text.find(end, at)
        if position < 0:
            raise ValueError(f"no closing {end}; write it, or a backslash before the one that opens")
        self.at = position + 1
        return self.text[at:position]

    def read_double_quotes(self) -> None:
        """Reads the text in double quotes, and the closing one."""
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
                self.read_expansion(is_quoted=True)
            else:
                self.add(character)
                self.at += 1
        raise ValueError('no closing "; write it, or a backslash before the one that opens')

    def check_brace(self, character: str) -> None:
        """Refuses brace expansions, {a,b} and {1..3}, which bash replaces and sh does not."""
        if character == "{":
            self.braces.append(False)
        elif self.braces and (character == "," or self.text.startswith("..", self.at)):
            self.braces[-1] = True
        elif character == "}" and self.braces and self.braces.pop():
            raise ValueError(
                "has braces that bash replaces by several words, and sh does not; write the words out, or quote them"
            )

    def read_expansion(self, is_quoted: bool) -> None:
        """Reads an expansion, or a "$" that begins none.

        Args:
          is_quoted: whether it is in double quotes.
        """
        text, at = self.text, self.at
        if not is_quoted and text[at + 1 : at + 2] in ("'", '"') and text[at] == "$":
            what = "which bash and sh read differently; leave out the $, or put a backslash before it"
            raise ValueError(f"has {quote(text[at : at + 2])}, {what}")
        if many := _MANY.match(text, at):
            raise ValueError(f"has {quote(many[0])}, which stands for any number of words; write them")
        if text[at] == "`" or text.startswith(("$(", "${"), at):
            self.at = end = self.find_end(at, is_quoted)
        elif name := _PARAMETER.match(text, at + 1):
            self.at = end = name.end()
        else:
            self.add("$")
            self.at += 1
            return
        placeholder = next(self.placeholders, None)
        if placeholder is None or len(self.expansions) == _MAX_EXPANSIONS:
            raise ValueError(f"has more than {_MAX_EXPANSIONS} variables and commands that a shell would replace")
        self.expansions[placeholder] = text[at:end]
        self.add(chr(placeholder))

    def find_end(self, at: int, is_quoted: bool, depth: int = 0) -> int:
        """Returns the position after an expansion.

        Quotations and expansions in it are skipped as a whole. The patterns of a `case` in it are not understood.

        Args:
          at: the position where the expansion begins.
          is_quoted: whether it is in double quotes.
          depth: the number of expansions around it.
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
            elif character == "'" and opening != "`" and not double and not (is_quoted and opening == "{"):
                at = text.find("'", at + 1)
                if at < 0:
                    break
            elif character == '"' and opening != "`":
                double = not double
            elif opening != "`" and (character == "`" or text.startswith(("$(", "${"), at)):
                at = self.find_end(at, double or (is_quoted and opening == "{"), depth + 1)
                continue
            elif character == "(" and opening == "(" and not double:
                level += 1
            at += 1
        raise ValueError(f"no end of {quote(text[begin : begin + 20])}; write {quote(close)}, or quote it")
