"""Expands the words of a shell script, as far as their values are known."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable

from rules_setcap.containers.programs.model import Argument
from rules_setcap.containers.shell.frame import Frame
from rules_setcap.containers.shell.syntax import (
    AndOr,
    CommandList,
    CommandSubstitution,
    Literal,
    Opaque,
    Parameter,
    Part,
    SimpleCommand,
    Word,
)

_OWN = frozenset(
    "BASH BASHOPTS BASHPID BASH_ARGC BASH_ARGV BASH_COMMAND BASH_LINENO BASH_SOURCE BASH_SUBSHELL BASH_VERSION EPOCHSECONDS FUNCNAME "
    "GROUPS HOME HOSTNAME HOSTTYPE IFS LINENO MACHTYPE OLDPWD OPTIND OSTYPE PPID PS1 PS2 PS4 PWD RANDOM SECONDS SHELL SHELLOPTS "
    "SHLVL SRANDOM TERM _".split()
)
"""Variables that the shell or the runtime sets by itself."""



class Expander:
    """Expands words in a frame.

    Attributes:
      zero: $0.
      bash: whether the shell is bash.
    """

    def __init__(self, zero: str, bash: bool) -> None:
        self.zero, self.bash = zero, bash

    def fields(self, frame: Frame, word: Word) -> list[Argument]:
        """Returns the fields that a word expands to; None stands for unknown ones."""
        fields: list[Argument] = []
        current: str | None = ""
        started = False
        if _braces(word) and self.bash or _tilde(word):
            return [None]
        for part in word:
            if isinstance(part, Literal):
                if not part.quoted and _is_pattern(part.text):
                    return [None]
                started = started or part.quoted or bool(part.text)
                current = None if current is None else current + part.text
                continue
            if isinstance(part, Parameter) and part.name in "@*" and not part.operator and not part.length:
                if part.name == "*" and part.quoted:
                    value = self._joined(frame)
                    current, started = None if current is None or value is None else current + value, True
                    continue
                if not part.quoted and not all(each is None or _plain(each) for each in frame.arguments):
                    return [None]
                if len(word) > 1 and not all(isinstance(each, Literal) and not each.text for each in word if each is not part):
                    return [None]
                return list(frame.arguments)
            value = self.value(frame, part)
            if part.quoted:
                started = True
                current = None if current is None or value is None else current + value
            elif value is None:
                return [None]
            elif value and not _plain(value):
                return [None]
            else:
                started = started or bool(value)
                current = None if current is None else current + value
        if started:
            fields.append(current)
        return fields

    def text(self, frame: Frame, word: Word) -> str | None:
        """Returns the value of a word that is not split into fields; None if it is not known."""
        if _tilde(word):
            return None
        text = ""
        for part in word:
            value = part.text if isinstance(part, Literal) else self.value(frame, part)
            if value is None:
                return None
            text += value
        return text

    def pattern(self, frame: Frame, word: Word) -> str | None:
        """Returns a pattern as fnmatch has it; None if it is not known."""
        text = ""
        for part in word:
            value = part.text if isinstance(part, Literal) else self.value(frame, part)
            if value is None or not part.quoted and ("\\" in value or "[" in value):
                return None
            text += re.sub(r"([*?\[])", r"[\1]", value) if part.quoted else value
        return text

    def value(self, frame: Frame, part: Part) -> str | None:
        """Returns the value of an expansion; None if it is not known."""
        if isinstance(part, Literal):
            return part.text
        if isinstance(part, Opaque):
            return None
        if isinstance(part, CommandSubstitution):
            return self._output(frame, part.commands)
        if part.name in "@*" and (part.operator or part.length):
            return None
        known, value = self._variable(frame, part.name)
        if not known:
            return None
        if part.length:
            return str(len(value or ""))
        return self._operate(frame, part, value)

    def _operate(self, frame: Frame, part: Parameter, value: str | None) -> str | None:
        operator = part.operator
        if not operator:
            return value or ""
        if operator[0] == ":" and operator[1:2].isdigit():
            if not self.bash:
                return None
            start, _, length = operator[1:].partition(":")
            rest = (value or "")[int(start) :]
            return rest[: int(length)] if length else rest
        unset = value is None or operator.startswith(":") and not value
        if operator[-1] in "-=":
            return self.text(frame, part.word) if unset else value
        if operator[-1] == "+":
            return "" if unset else self.text(frame, part.word)
        if operator[-1] == "?":
            return None if unset else value
        pattern = self.pattern(frame, part.word)
        return None if pattern is None else _remove(value or "", operator, pattern)

    def _variable(self, frame: Frame, name: str) -> tuple[bool, str | None]:
        """Returns whether the value is known, and the value; None if it is unset."""
        if name.isdigit():
            return self._argument(frame, int(name))
        if name == "#":
            return (False, None) if None in frame.arguments else (True, str(len(frame.arguments)))
        if name in "@*":
            joined = self._joined(frame)
            return joined is not None, joined
        if name in "?$!-":
            return False, None
        if name in frame.variables:
            value = frame.variables[name]
            return value is not None, value
        if self.bash and name in ("UID", "EUID"):
            return True, str(frame.state.process.ruid if name == "UID" else frame.state.process.euid)
        if name == "BASH_SOURCE" and self.bash:
            return True, self.zero
        if name in frame.state.environment:
            value = frame.state.environment[name]
            return value is not None, value
        if name in _OWN or frame.state.may_be_set(name):
            return False, None
        return True, None

    def _argument(self, frame: Frame, number: int) -> tuple[bool, str | None]:
        if number == 0:
            return True, self.zero
        if None in frame.arguments[:number]:
            return False, None
        return True, frame.arguments[number - 1] if number <= len(frame.arguments) else None

    def _joined(self, frame: Frame) -> str | None:
        return None if None in frame.arguments else " ".join(each or "" for each in frame.arguments)

    def _output(self, frame: Frame, commands: CommandList) -> str | None:
        """Returns the output of a few commands: id, whoami, echo, printf %s, basename, dirname, pwd."""
        if len(commands.items) != 1:
            return None
        item: AndOr = commands.items[0]
        if item.rest or item.background or item.first.negated or len(item.first.commands) != 1:
            return None
        command = item.first.commands[0]
        if not isinstance(command, SimpleCommand) or command.assignments:
            return None
        words = [field for word in command.words for field in self.fields(frame, word)]
        argv = [each for each in words if each is not None]
        if not argv or len(argv) != len(words) or argv[0] in frame.functions:
            return None
        output = _OUTPUTS.get(posixpath.basename(argv[0]))
        return output(frame, argv[1:]) if output else None


def _id(frame: Frame, arguments: list[str]) -> str | None:
    process = frame.state.process
    numbers = {"-u": process.euid, "-ur": process.ruid, "-g": process.egid, "-gr": process.rgid}
    if arguments in (["-un"], ["-u", "-n"], ["-nu"]):
        return _whoami(frame, [])
    return str(numbers[arguments[0]]) if len(arguments) == 1 and arguments[0] in numbers else None


def _whoami(frame: Frame, arguments: list[str]) -> str | None:
    return "root" if frame.state.process.euid == 0 and not arguments else None


def _echo(frame: Frame, arguments: list[str]) -> str | None:
    return None if any(each.startswith("-") or "\\" in each for each in arguments) else " ".join(arguments).rstrip("\n")


def _printf(frame: Frame, arguments: list[str]) -> str | None:
    return arguments[1].rstrip("\n") if len(arguments) == 2 and arguments[0] in ("%s", "%s\\n") else None


def _basename(frame: Frame, arguments: list[str]) -> str | None:
    return posixpath.basename(arguments[0]) if len(arguments) == 1 and not arguments[0].startswith("-") else None


def _dirname(frame: Frame, arguments: list[str]) -> str | None:
    arguments = arguments[1:] if arguments[:1] == ["--"] else arguments
    return posixpath.dirname(arguments[0]) or "." if len(arguments) == 1 and not arguments[0].startswith("-") else None


def _pwd(frame: Frame, arguments: list[str]) -> str | None:
    return None if arguments or "\0" in frame.state.directory else frame.state.directory


_OUTPUTS: dict[str, Callable[[Frame, list[str]], str | None]] = {
    "basename": _basename,
    "dirname": _dirname,
    "echo": _echo,
    "id": _id,
    "printf": _printf,
    "pwd": _pwd,
    "whoami": _whoami,
}


def _plain(value: str) -> bool:
    """Returns whether an unquoted value is one field: it has neither spaces nor a pattern."""
    return value != "" and not _is_pattern(value) and not set(" \t\n") & set(value)


def _is_pattern(text: str) -> bool:
    """Returns whether an unquoted text may stand for the names of files."""
    return "*" in text or "?" in text or "[" in text and "]" in text[text.index("[") :]


def _braces(word: Word) -> bool:
    text = "".join(part.text for part in word if isinstance(part, Literal) and not part.quoted)
    return "{" in text and ("," in text or ".." in text)


def _tilde(word: Word) -> bool:
    return bool(word) and isinstance(word[0], Literal) and not word[0].quoted and word[0].text.startswith("~")


def _remove(value: str, operator: str, pattern: str) -> str:
    """Removes the smallest (# and %) or largest (## and %%) prefix or suffix that matches."""
    lengths = range(len(value) + 1) if len(operator) == 1 else range(len(value), -1, -1)
    for length in lengths:
        part = value[:length] if operator[0] == "#" else value[len(value) - length :]
        if fnmatch.fnmatchcase(part, pattern):
            return value[length:] if operator[0] == "#" else value[: len(value) - length]
    return value
