"""Reads command lines that make a container: docker, podman and nerdctl run or create, and docker service create."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rules_setcap.containers.docker import flags, prefixes, script
from rules_setcap.containers.docker.flag_settings import SettingsReader
from rules_setcap.containers.docker.flags import Flags, parse_flags
from rules_setcap.containers.settings import Settings
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.diagnostics.suggestions import find_closest

_MAX_COMMAND = 128 << 10  # Linux's limit for one argument: MAX_ARG_STRLEN.


class _Program(NamedTuple):
    """A program whose command lines make containers.

    Attributes:
      engine_name: as Settings.engine_name.
      flags: the flags before the subcommand.
      commands: the flags of each subcommand: "run", "service create". "container run" means the same as "run".
    """

    engine_name: str
    flags: Flags
    commands: Mapping[str, Flags]


def _define_program(engine_name: str, before: Flags, run: Flags, create: Flags, **others: Flags) -> _Program:
    """Returns a program.

    Args:
      engine_name: as Settings.engine_name.
      before: the flags before the subcommand.
      run: the flags of "run".
      create: the flags of "create".
      **others: the flags of other subcommands, which have "_" for a space in their names.
    """
    commands = {name.replace("_", " "): known for name, known in others.items()}
    return _Program(engine_name, before, {"run": run, "create": create, **commands})


_PODMAN = _define_program("podman", flags.PODMAN_GLOBAL, flags.PODMAN, flags.PODMAN_CREATE)
_PROGRAMS = {
    "docker": _define_program(
        "docker", flags.DOCKER_GLOBAL, flags.DOCKER, flags.DOCKER_CREATE, service_create=flags.DOCKER_SERVICE
    ),
    "nerdctl": _define_program("nerdctl", flags.NERDCTL_GLOBAL, flags.NERDCTL, flags.NERDCTL),
    "podman": _PODMAN,
    "podman-remote": _PODMAN,
}
_ADVICE = {
    "compose": "give the Compose file and the service in place of the command line",
    "exec": "a process that joins a container is not judged; give the command line that made the container",
    "kube": "give the manifest in place of the command line",
    "stack": "give the Compose file and the service in place of the command line",
    "start": "give the command line that made the container",
}
"""What to give instead of a command line with another subcommand."""


def read_command_line(command: str, attribute: str = "command") -> Settings:
    """Reads the settings of a container from the command line that makes it.

    Assignments of variables before the command, and commands that run it (sudo, env, exec, time and others), are skipped.
    An expansion that only a running shell can replace is accepted where its value does not matter, as in -v "$PWD":/src.

    Args:
      command: the whole command as typed for a POSIX shell.
      attribute: the attribute that messages about the command as a whole begin with.

    Raises:
      InputError: the command line is not valid; the error has every problem.
    """
    line = _split_words(command, attribute)
    problems = Problems()
    words = prefixes.strip_prefixes(line.words, problems, line.restore)
    name = words[0].rpartition("/")[2] if words else ""
    program = _PROGRAMS.get(name)
    if program is None:
        what = 'must start with docker, podman or nerdctl; write the whole command, as "docker run ..."'
        raise InputError(problems or [format_problem(attribute, command, what)])
    problems_of_program = Problems()
    _, rest = parse_flags(program.flags, words[1:], problems_of_program, line.restore)
    subcommand, rest = _split_subcommand(program, rest)
    if not subcommand and not problems and not problems_of_program:
        problems_of_program.add_message(_explain_subcommand(program, line.restore(rest[0] if rest else "")))
    problems.extend(f"{name}: {text}" for text in problems_of_program)
    problems.raise_if_any()
    where = f"{name} {subcommand}"
    problems_of_flags = Problems()
    parsed, arguments = parse_flags(program.commands[subcommand], rest, problems_of_flags, line.restore)
    reader = SettingsReader(program.engine_name, where, parsed, line)
    reader.problems.extend(f"{where}: {text}" for text in problems_of_flags)
    if not arguments:
        reader.problems.add(attribute, command, "no image; write it after the flags")
    is_ended = rest[len(rest) - len(arguments) - 1 : len(rest) - len(arguments)] == ["--"]
    settings = reader.read_settings(arguments, is_ended)
    if reader.problems:
        raise InputError(dict.fromkeys(reader.problems))  # A flag that is read twice has the same problem twice.
    return settings


def _split_words(command: str, attribute: str) -> script.CommandLine:
    """Splits the command into words.

    Raises:
      InputError: the command is not a single simple command.
    """
    try:
        if len(command) > _MAX_COMMAND:
            raise ValueError(f"{len(command)} characters; a command line has at most {_MAX_COMMAND}")
        if "\0" in command:
            raise ValueError("has a NUL")
        return script.split_command_line(command)
    except ValueError as error:
        raise InputError([format_problem(attribute, command, str(error))]) from None


def _split_subcommand(program: _Program, words: list[str]) -> tuple[str, list[str]]:
    """Returns the subcommand without "container", and the words after it; "" if the subcommand makes no container."""
    rest = words[1:] if words[:1] == ["container"] else words
    for name in program.commands:
        count = name.count(" ") + 1
        if rest[:count] == name.split(" ") and (rest is words or count == 1):
            return name, rest[count:]
    return "", rest


def _explain_subcommand(program: _Program, name: str) -> str:
    """Returns the message for a subcommand that makes no container."""
    if closest := find_closest(name, ("run", "create"), cutoff=0.5):
        what = f'did you mean "{closest}"?'
    else:
        what = "only " + ", ".join(list(program.commands)[:-1]) + f" and {list(program.commands)[-1]} make a container"
    return f"{quote(name)}: {_ADVICE.get(name, what)}" if name else f"no command; {what}"
