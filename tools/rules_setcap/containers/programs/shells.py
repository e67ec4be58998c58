"""Shells: the program in which a script, or the command of `sh -c`, ends.

The package rules_setcap.containers.shell follows the text. The models agree with dash 0.5.12, bash 5.3.15 and the sh of
BusyBox 1.38.0 (tests/getcap/programs_test.py and shell_test.py).
"""

from __future__ import annotations

import posixpath
from dataclasses import replace

from rules_setcap.capabilities import credentials
from rules_setcap.containers.program_model import Argument, Call, Execution, Model, NotFollowed, ProcessState, ProgramFails
from rules_setcap.containers.shell.evaluate import Evaluator
from rules_setcap.containers.shell.expand import Expander
from rules_setcap.containers.shell.frame import Frame, StartedProgram
from rules_setcap.containers.shell.parse import parse_script
from rules_setcap.containers.shell.syntax import UnsupportedSyntax

_MAX_CHARACTERS = 1 << 16
_HELPERS = frozenset(
    "[ awk base64 basename cat chgrp chmod chown cp cut date dirname echo env expr false find getent grep head hostname id install "
    "ln ls mkdir mktemp mv nproc printf pwd readlink realpath rm rmdir sed seq sleep sort stat tail tee test touch tr true uname "
    "uniq wc whoami xargs".split()
)
"""Programs that prepare the start of the one that a script is about."""


def make_shell_model(bash: bool, drops: bool) -> Model:
    """Returns the model of a shell (sh(1p), dash(1), bash(1), BusyBox ash).

    Args:
      bash: whether the shell has the extensions of bash.
      drops: whether, without -p, the shell sets its effective uid and gid to the real ones: bash's disable_priv_mode
        (shell.c) and, in Debian and since 0.5.11, dash's setprivileged (options.c).
    """

    def model(call: Call) -> Execution | None:
        options, rest = _parse_shell_options(call, bash)
        state = call.state
        process = state.process
        if drops and "p" not in options and (process.ruid, process.rgid) != (process.euid, process.egid):
            process = credentials.setgid(credentials.setuid(process, process.ruid), process.rgid)
            state = replace(state, process=process)
        if "l" in options or "login" in options or call.name.startswith("-"):
            # /etc/profile and ~/.profile set PATH, at least.
            state = state.with_variables(PATH=None)
        if bash and state.get_variable("BASH_ENV"):
            raise NotFollowed("reads the file that BASH_ENV names")
        if "n" in options:
            return None
        if "c" in options:
            if not rest:
                raise ProgramFails("-c has no command")
            if rest[0] is None:
                raise NotFollowed("has a command that is not known here")
            zero = rest[1] if len(rest) > 1 else call.name
            return _follow_text(call, state, rest[0], zero or "", tuple(rest[2:]), bash, "e" in options)
        if not rest or "s" in options:
            return None
        script = rest[0]
        if script is None:
            raise NotFollowed("reads a script that is not known here")
        text = call.system.read_script(script if "/" in script else posixpath.join(state.directory, script), state)
        if text is None:
            raise NotFollowed(f"reads {script}, whose text is not known here")
        return _follow_text(call, state, text, script, tuple(rest[1:]), bash, "e" in options)

    return model


def _parse_shell_options(call: Call, bash: bool) -> tuple[set[str], list[Argument]]:
    """Parses the options of a shell, whose -o takes the next argument wherever it stands among the letters.

    Returns:
      The letters and long names of the options, and the arguments that are left.
    """
    parsed: set[str] = set()
    rest = list(call.argv[1:])
    while rest and rest[0] is not None and rest[0][:1] in ("-", "+"):
        word = rest[0]
        if word in ("-", "--"):
            return parsed, rest[1:]
        rest = rest[1:]
        if word.startswith("--") and bash:
            parsed.add(word[2:])
            if word in ("--rcfile", "--init-file"):
                rest = rest[1:]
            continue
        for letter in word[1:]:
            if letter in "oO" and rest:
                if rest[0] is None:
                    raise NotFollowed("has arguments that are not known here")
                if rest[0] == "errexit":
                    parsed.add("e")
                rest = rest[1:]
            elif word[0] == "-":
                parsed.add(letter)
    if rest and rest[0] is None and "c" not in parsed:
        raise NotFollowed("has arguments that are not known here")
    return parsed, rest


def _follow_text(
    call: Call, state: ProcessState, text: str, zero: str, arguments: tuple[Argument, ...], bash: bool, errexit: bool
) -> Execution | None:
    """Follows the text of a script.

    Args:
      call: the running shell.
      state: the state of its process.
      text: the script.
      zero: $0.
      arguments: $1 and the following.
      bash: whether the shell has the extensions of bash.
      errexit: whether `set -e` is on from the beginning.
    """
    if len(text) > _MAX_CHARACTERS:
        raise NotFollowed(f"has more than {_MAX_CHARACTERS} characters")
    try:
        body = parse_script(text)
    except UnsupportedSyntax as error:
        raise NotFollowed(f"has a line {error.line} that is not understood: {error.text[:200]}") from None
    except RecursionError:
        raise NotFollowed("is nested too deeply to be followed") from None
    frame = Frame(state, arguments=arguments, errexit=errexit)
    run = Evaluator(call.system, frame, Expander(zero, bash))
    try:
        run.run_list(body)
    except RecursionError:
        raise NotFollowed("is nested too deeply to be followed") from None
    return _find_result(run, text)


def _find_result(run: Evaluator, text: str) -> Execution | None:
    """Returns the program that a script executes; None if it executes none but helpers.

    The program is the one that replaces the shell; else the one in the background; else the last one that the shell starts.

    Raises:
      NotFollowed: the program is one of several, or not known.
    """
    lines = text.split("\n")

    def quote_line(started: StartedProgram) -> str:
        line = lines[started.line - 1].strip() if 0 < started.line <= len(lines) else ""
        return f"line {started.line}: {line}"

    for _, reason in run.execs:
        if reason:
            raise NotFollowed(reason)
    ends = [*run.ends, *([run.frame] if run.frame is not None else [])]
    for frame in ends:
        if frame.unknown_reason:
            raise NotFollowed(frame.unknown_reason)
    programs = [started for started, _ in run.execs]
    lasts = [frame.last_program for frame in ends if frame.last_program is not None]
    if programs:
        programs += [last for last in lasts if not _is_helper(last)]
    else:
        programs = lasts
        if run.background:
            if (programs and not all(_is_helper(last) for last in programs)) or len(run.background) > 1:
                raise NotFollowed(f"starts several programs ({quote_line(run.background[0])})")
            programs = run.background
        elif all(_is_helper(last) for last in programs):
            others = [started for started in run.started if not _is_helper(started)]
            if others:
                raise NotFollowed(f"starts several programs ({quote_line(others[0])})")
    if not programs:
        return None
    first = programs[0]
    argv = first.argv
    state = first.state
    for other in programs[1:]:
        if other.argv[:1] != argv[:1] or other.state.process != state.process or other.state.directory != state.directory:
            raise NotFollowed(f"executes one of several programs ({quote_line(first)}; {quote_line(other)})")
        if other.argv != argv:
            argv = (argv[0], None)
        if other.state != state:
            environment = {
                name: state.environment.get(name) if state.environment.get(name) == other.state.environment.get(name) else None
                for name in state.environment.keys() | other.state.environment.keys()
            }
            state = replace(state, environment=environment)
    if argv[:1] in ((), (None,)):
        raise NotFollowed(f"executes a program that is not known ({quote_line(first)})")
    return Execution(argv, state)


def _is_helper(started: StartedProgram) -> bool:
    """Returns whether a program only prepares the start of another one."""
    name = started.argv[0] if started.argv else None
    return name is not None and posixpath.basename(name) in _HELPERS
