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
class Substitution:
    """$(commands)."""

    commands: Sequence
    quoted: bool


@dataclass(frozen=True)
class Opaque:
    """Anything whose value is not computed: arithmetic, process substitution, an array."""

    quoted: bool


Part = Literal | Parameter | Substitution | Opaque
Word = tuple[Part, ...]


@dataclass(frozen=True)
class Simple:
    """Assignments, a command's words, and its line number."""

    assignments: tuple[tuple[str, Word | None], ...]
    words: tuple[Word, ...]
    line: int
    redirected: bool = False


@dataclass(frozen=True)
class Test:
    """[[ ... ]]; the operators are words with one unquoted literal."""

    words: tuple[Word, ...]
    line: int


@dataclass(frozen=True)
class Arithmetic:
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
class Sequence:
    """Lists, one after the other."""

    items: tuple[AndOr, ...] = ()


@dataclass(frozen=True)
class Group:
    """{ ...; }"""

    body: Sequence


@dataclass(frozen=True)
class Subshell:
    """( ... )"""

    body: Sequence


@dataclass(frozen=True)
class If:
    """if, elif and else."""

    branches: tuple[tuple[Sequence, Sequence], ...]
    otherwise: Sequence


@dataclass(frozen=True)
class For:
    """for name in words; words is None for "$@"."""

    name: str
    words: tuple[Word, ...] | None
    body: Sequence


@dataclass(frozen=True)
class While:
    """while and until."""

    condition: Sequence
    body: Sequence
    until: bool


@dataclass(frozen=True)
class Case:
    """case word in patterns) body ;; esac."""

    word: Word
    branches: tuple[tuple[tuple[Word, ...], Sequence], ...]
    falls: bool = False


@dataclass(frozen=True)
class Function:
    """name() body."""

    name: str
    body: Command


Command = Simple | Test | Arithmetic | Group | Subshell | If | For | While | Case | Function


@dataclass
class Unparsed(Exception):
    """A part of a script that is not understood."""

    line: int
    text: str = field(default="")
