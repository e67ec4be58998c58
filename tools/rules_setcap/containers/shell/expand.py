"""Expands the words of a shell script, as far as their values are known."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable

from rules_setcap.containers.program_model import Argument
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

_SET_BY_SHELL_OR_RUNTIME = frozenset(
    "BASH BASHOPTS BASHPID BASH_ARGC BASH_ARGV BASH_COMMAND BASH_LINENO BASH_SOURCE BASH_SUBSHELL BASH_VERSION EPOCHSECONDS FUNCNAME "
    "GROUPS HOME HOSTNAME HOSTTYPE IFS LINENO MACHTYPE OLDPWD OPTIND OSTYPE PPID PS1 PS2 PS4 PWD RANDOM SECONDS SHELL SHELLOPTS "
    "SHLVL SRANDOM TERM _".split()
)
"""Variables that the shell or the runtime sets, so that they are not unset although nobody else sets them."""


class Expander:
    """An expander of the words of one script.

    Attributes:
      zero: $0.
      bash: whether the shell is bash.
    """

    def __init__(self, zero: str, bash: bool) -> None:
        """Takes $0, and whether the shell is bash."""
        self.zero, self.bash = zero, bash

    def expand_fields(self, frame: Frame, word: Word) -> list[Argument]:
        """Returns the fields to which a word expands; None stands for any number of fields that are not known."""
        fields: list[Argument] = []
        current: str | None = ""
        started = False
        if (_has_braces(word) and self.bash) or _begins_with_tilde(word):
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
                    value = self._join_arguments(frame)
                    current, started = None if current is None or value is None else current + value, True
                    continue
                if not part.quoted and not all(argument is None or _is_one_field(argument) for argument in frame.arguments):
                    return [None]
                if len(word) > 1 and not all(
                    isinstance(other, Literal) and not other.text for other in word if other is not part
                ):
                    return [None]
                return list(frame.arguments)
            value = self.expand_part(frame, part)
            if part.quoted:
                started = True
                current = None if current is None or value is None else current + value
            elif value is None or (value and not _is_one_field(value)):
                return [None]
            else:
                started = started or bool(value)
                current = None if current is None else current + value
        if started:
            fields.append(current)
        return fields

    def expand_text(self, frame: Frame, word: Word) -> str | None:
        """Returns the value of a word that is not split into fields, as that of an assignment; None if it is not known."""
        if _begins_with_tilde(word):
            return None
        text = ""
        for part in word:
            value = part.text if isinstance(part, Literal) else self.expand_part(frame, part)
            if value is None:
                return None
            text += value
        return text

    def expand_pattern(self, frame: Frame, word: Word) -> str | None:
        """Returns the value of a word that is a pattern, in the syntax of fnmatch; None if it is not known."""
        text = ""
        for part in word:
            value = part.text if isinstance(part, Literal) else self.expand_part(frame, part)
            if value is None or (not part.quoted and ("\\" in value or "[" in value)):
                return None
            text += re.sub(r"([*?\[])", r"[\1]", value) if part.quoted else value
        return text

    def expand_part(self, frame: Frame, part: Part) -> str | None:
        """Returns the value of a part of a word; None if it is not known."""
        if isinstance(part, Literal):
            return part.text
        if isinstance(part, Opaque):
            return None
        if isinstance(part, CommandSubstitution):
            return self._compute_output(frame, part.commands)
        if part.name in "@*" and (part.operator or part.length):
            return None
        known, value = self._find_parameter(frame, part.name)
        if not known:
            return None
        if part.length:
            return str(len(value or ""))
        return self._apply_operator(frame, part, value)

    def _apply_operator(self, frame: Frame, part: Parameter, value: str | None) -> str | None:
        """Applies the operator of a parameter expansion.

        Args:
          frame: the frame.
          part: the expansion.
          value: the value of the parameter; None if it is unset.
        """
        operator = part.operator
        if not operator:
            return value or ""
        if operator[0] == ":" and operator[1:2].isdigit():
            if not self.bash:
                return None
            start, _, length = operator[1:].partition(":")
            rest = (value or "")[int(start) :]
            return rest[: int(length)] if length else rest
        unset = value is None or (operator.startswith(":") and not value)
        if operator[-1] in "-=":
            return self.expand_text(frame, part.word) if unset else value
        if operator[-1] == "+":
            return "" if unset else self.expand_text(frame, part.word)
        if operator[-1] == "?":
            return None if unset else value
        pattern = self.expand_pattern(frame, part.word)
        return None if pattern is None else _remove_affix(value or "", operator, pattern)

    def _find_parameter(self, frame: Frame, name: str) -> tuple[bool, str | None]:
        """Returns whether the value of a parameter is known, and the value; None if the parameter is unset."""
        if name.isdigit():
            return self._find_argument(frame, int(name))
        if name == "#":
            return (False, None) if None in frame.arguments else (True, str(len(frame.arguments)))
        if name in "@*":
            joined = self._join_arguments(frame)
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
        if name in _SET_BY_SHELL_OR_RUNTIME or frame.state.may_be_set(name):
            return False, None
        return True, None

    def _find_argument(self, frame: Frame, number: int) -> tuple[bool, str | None]:
        """Returns whether $0, $1 or a following argument is known, and its value; None if it is unset."""
        if number == 0:
            return True, self.zero
        if None in frame.arguments[:number]:
            return False, None
        return True, frame.arguments[number - 1] if number <= len(frame.arguments) else None

    def _join_arguments(self, frame: Frame) -> str | None:
        """Returns "$*"; None if it is not known."""
        return None if None in frame.arguments else " ".join(argument or "" for argument in frame.arguments)

    def _compute_output(self, frame: Frame, commands: CommandList) -> str | None:
        """Returns the output of a single command id, whoami, echo, printf %s, basename, dirname or pwd, else None."""
        if len(commands.items) != 1:
            return None
        item: AndOr = commands.items[0]
        if item.rest or item.background or item.first.negated or len(item.first.commands) != 1:
            return None
        command = item.first.commands[0]
        if not isinstance(command, SimpleCommand) or command.assignments:
            return None
        fields = [field for word in command.words for field in self.expand_fields(frame, word)]
        argv = [field for field in fields if field is not None]
        if not argv or len(argv) != len(fields) or argv[0] in frame.functions:
            return None
        compute = _OUTPUTS.get(posixpath.basename(argv[0]))
        return compute(frame, argv[1:]) if compute else None


def _print_id(frame: Frame, arguments: list[str]) -> str | None:
    """Returns the output of `id -u`, `id -g` and their like; None if it is not known."""
    process = frame.state.process
    numbers = {"-u": process.euid, "-ur": process.ruid, "-g": process.egid, "-gr": process.rgid}
    if arguments in (["-un"], ["-u", "-n"], ["-nu"]):
        return _print_whoami(frame, [])
    return str(numbers[arguments[0]]) if len(arguments) == 1 and arguments[0] in numbers else None


def _print_whoami(frame: Frame, arguments: list[str]) -> str | None:
    """Returns the output of `whoami`; None if it is not known."""
    return "root" if frame.state.process.euid == 0 and not arguments else None


def _print_echo(frame: Frame, arguments: list[str]) -> str | None:
    """Returns the output of `echo`; None if it is not known."""
    return (
        None if any(argument.startswith("-") or "\\" in argument for argument in arguments) else " ".join(arguments).rstrip("\n")
    )


def _print_printf(frame: Frame, arguments: list[str]) -> str | None:
    """Returns the output of `printf`; None if it is not known."""
    return arguments[1].rstrip("\n") if len(arguments) == 2 and arguments[0] in ("%s", "%s\\n") else None


def _print_basename(frame: Frame, arguments: list[str]) -> str | None:
    """Returns the output of `basename`; None if it is not known."""
    return posixpath.basename(arguments[0]) if len(arguments) == 1 and not arguments[0].startswith("-") else None


def _print_dirname(frame: Frame, arguments: list[str]) -> str | None:
    """Returns the output of `dirname`; None if it is not known."""
    arguments = arguments[1:] if arguments[:1] == ["--"] else arguments
    return posixpath.dirname(arguments[0]) or "." if len(arguments) == 1 and not arguments[0].startswith("-") else None


def _print_pwd(frame: Frame, arguments: list[str]) -> str | None:
    """Returns the output of `pwd`; None if it is not known."""
    return None if arguments or "\0" in frame.state.directory else frame.state.directory


_OUTPUTS: dict[str, Callable[[Frame, list[str]], str | None]] = {
    "basename": _print_basename,
    "dirname": _print_dirname,
    "echo": _print_echo,
    "id": _print_id,
    "printf": _print_printf,
    "pwd": _print_pwd,
    "whoami": _print_whoami,
}
"""The functions that compute the output of a program from its arguments, by the program's name."""


def _is_one_field(value: str) -> bool:
    """Returns whether an unquoted value is one field, which has neither spaces nor the characters of a pattern."""
    return value != "" and not _is_pattern(value) and not set(" \t\n") & set(value)


def _is_pattern(text: str) -> bool:
    """Returns whether an unquoted text may be replaced by the names of files."""
    return "*" in text or "?" in text or ("[" in text and "]" in text[text.index("[") :])


def _has_braces(word: Word) -> bool:
    """Returns whether bash may expand braces in a word."""
    text = "".join(part.text for part in word if isinstance(part, Literal) and not part.quoted)
    return "{" in text and ("," in text or ".." in text)


def _begins_with_tilde(word: Word) -> bool:
    """Returns whether a shell may expand a tilde at the beginning of a word."""
    return bool(word) and isinstance(word[0], Literal) and not word[0].quoted and word[0].text.startswith("~")


def _remove_affix(value: str, operator: str, pattern: str) -> str:
    """Returns a value without the smallest (# and %) or largest (## and %%) prefix or suffix that matches a pattern."""
    lengths = range(len(value) + 1) if len(operator) == 1 else range(len(value), -1, -1)
    for length in lengths:
        part = value[:length] if operator[0] == "#" else value[len(value) - length :]
        if fnmatch.fnmatchcase(part, pattern):
            return value[length:] if operator[0] == "#" else value[: len(value) - length]
    return value
