"""The parts of a parsed shell script (POSIX.1-2024, "Shell Command Language", and a little of bash)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Literal:
    """Text that stands for itself.

    Attributes:
      text: the text, without quotes.
      quoted: whether the text was quoted, so that it is neither split nor a pattern.
    """

    text: str
    quoted: bool


@dataclass(frozen=True)
class Parameter:
    """A parameter expansion: $NAME, ${NAME<operator><word>} or ${#NAME}.

    Attributes:
      name: the name of a variable, the number of an argument, or one of @*#?$!-.
      quoted: whether the expansion is in double quotes.
      operator: such as ":-" or "##"; for ${NAME:START:LENGTH} it is ":START:LENGTH". "" if there is none.
      word: the word after the operator.
      length: whether it is ${#NAME}.
    """

    name: str
    quoted: bool
    operator: str = ""
    word: Word = ()
    length: bool = False


@dataclass(frozen=True)
class CommandSubstitution:
    """A command substitution: $(...) or `...`.

    Attributes:
      commands: the commands whose output is substituted.
      quoted: whether the substitution is in double quotes.
    """

    commands: CommandList
    quoted: bool


@dataclass(frozen=True)
class Opaque:
    """A part of a word whose value is never computed: arithmetic, a process substitution, an array."""

    quoted: bool


Part = Literal | Parameter | CommandSubstitution | Opaque
"""A part of a word."""

Word = tuple[Part, ...]
"""A word of a script before expansion: its parts, one after the other."""


@dataclass(frozen=True)
class SimpleCommand:
    """A simple command.

    Attributes:
      assignments: the names and values of the assignments before the command, and of those that are arguments of export and
        the like; None is a value that is not computed, as that of NAME+=value.
      words: the name of the command and its arguments.
      line: the number of the command's line in the script, from 1.
      redirected: whether the command has redirections.
    """

    assignments: tuple[tuple[str, Word | None], ...]
    words: tuple[Word, ...]
    line: int
    redirected: bool = False


@dataclass(frozen=True)
class DoubleBracket:
    """The conditional command [[ ... ]] of bash.

    Attributes:
      words: the words between the brackets. An operator is a word of one unquoted literal.
      line: the number of its line.
    """

    words: tuple[Word, ...]
    line: int


@dataclass(frozen=True)
class ArithmeticCommand:
    """The arithmetic command ((...)) of bash, whose status is not computed."""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline: commands with | between them.

    Attributes:
      commands: the commands; most pipelines have one.
      negated: whether "!" is before them.
      line: the number of its line.
    """

    commands: tuple[Command, ...]
    negated: bool
    line: int


@dataclass(frozen=True)
class AndOr:
    """An AND-OR list: pipelines with && and || between them.

    Attributes:
      first: the first pipeline.
      rest: the others, each with the operator before it.
      background: whether "&" is after them.
    """

    first: Pipeline
    rest: tuple[tuple[str, Pipeline], ...]
    background: bool = False


@dataclass(frozen=True)
class CommandList:
    """A list of commands that run one after the other."""

    items: tuple[AndOr, ...] = ()


@dataclass(frozen=True)
class BraceGroup:
    """A brace group: { ...; }."""

    body: CommandList


@dataclass(frozen=True)
class Subshell:
    """A subshell: ( ... )."""

    body: CommandList


@dataclass(frozen=True)
class If:
    """An if command.

    Attributes:
      branches: the condition and the body of `if` and of each `elif`.
      otherwise: the body of `else`; an empty list if there is none.
    """

    branches: tuple[tuple[CommandList, CommandList], ...]
    otherwise: CommandList


@dataclass(frozen=True)
class For:
    """A for loop.

    Attributes:
      name: the variable.
      words: the words after `in`; None if the loop is over "$@".
      body: the commands of the loop.
    """

    name: str
    words: tuple[Word, ...] | None
    body: CommandList


@dataclass(frozen=True)
class While:
    """A while or until loop."""

    condition: CommandList
    body: CommandList
    until: bool


@dataclass(frozen=True)
class Case:
    """A case command.

    Attributes:
      word: the word that is compared.
      branches: the patterns and the body of each branch.
      falls_through: whether a branch ends with ;& or ;;&.
    """

    word: Word
    branches: tuple[tuple[tuple[Word, ...], CommandList], ...]
    falls_through: bool = False


@dataclass(frozen=True)
class FunctionDefinition:
    """The definition of a function: NAME() BODY."""

    name: str
    body: Command


Command = SimpleCommand | DoubleBracket | ArithmeticCommand | BraceGroup | Subshell | If | For | While | Case | FunctionDefinition


@dataclass
class UnsupportedSyntax(Exception):
    """A part of a script that the parser does not support, or that is invalid.

    Attributes:
      line: the number of the line, from 1.
      text: the line.
    """

    line: int
    text: str = field(default="")
