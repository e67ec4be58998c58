"""The parts of a shell script (POSIX.1-2024, "Shell Command Language", and a little of bash)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Literal:
    """Text that stands for itself."""

    text: str
    quoted: bool


@dataclass(frozen=True)
class Parameter:
    """An expansion: $name, ${name<operator>word}; `length` for ${#name}."""

    name: str
    quoted: bool
    operator: str = ""
    word: Word = ()
    length: bool = False


@dataclass(frozen=True)
class CommandSubstitution:
    """$(commands)."""

    commands: CommandList
    quoted: bool


@dataclass(frozen=True)
class Opaque:
    """Anything whose value is not computed: arithmetic, process substitution, an array."""

    quoted: bool


Part = Literal | Parameter | CommandSubstitution | Opaque
Word = tuple[Part, ...]


@dataclass(frozen=True)
class SimpleCommand:
    """Assignments, a command's words, and its line number."""

    assignments: tuple[tuple[str, Word | None], ...]
    words: tuple[Word, ...]
    line: int
    redirected: bool = False


@dataclass(frozen=True)
class DoubleBracket:
    """[[ ... ]]; the operators are words with one unquoted literal."""

    words: tuple[Word, ...]
    line: int


@dataclass(frozen=True)
class ArithmeticCommand:
    """((...))."""


@dataclass(frozen=True)
class Pipeline:
    """Commands with | between them; `negated` with !."""

    commands: tuple[Command, ...]
    negated: bool
    line: int


@dataclass(frozen=True)
class AndOr:
    """Pipelines with && and || between them."""

    first: Pipeline
    rest: tuple[tuple[str, Pipeline], ...]
    background: bool = False


@dataclass(frozen=True)
class CommandList:
    """Lists, one after the other."""

    items: tuple[AndOr, ...] = ()


@dataclass(frozen=True)
class BraceGroup:
    """{ ...; }"""

    body: CommandList


@dataclass(frozen=True)
class Subshell:
    """( ... )"""

    body: CommandList


@dataclass(frozen=True)
class If:
    """if, elif and else."""

    branches: tuple[tuple[CommandList, CommandList], ...]
    otherwise: CommandList


@dataclass(frozen=True)
class For:
    """for name in words; words is None for "$@"."""

    name: str
    words: tuple[Word, ...] | None
    body: CommandList


@dataclass(frozen=True)
class While:
    """while and until."""

    condition: CommandList
    body: CommandList
    until: bool


@dataclass(frozen=True)
class Case:
    """case word in patterns) body ;; esac."""

    word: Word
    branches: tuple[tuple[tuple[Word, ...], CommandList], ...]
    falls: bool = False


@dataclass(frozen=True)
class FunctionDefinition:
    """name() body."""

    name: str
    body: Command


Command = SimpleCommand | DoubleBracket | ArithmeticCommand | BraceGroup | Subshell | If | For | While | Case | FunctionDefinition


@dataclass
class UnsupportedSyntax(Exception):
    """A part of a script that is not understood."""

    line: int
    text: str = field(default="")
