"""Runs simple commands: assignments, builtins, functions and programs.

A builtin changes the frame or the run, and returns the status.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from rules_setcap.containers.program_model import Argument
from rules_setcap.containers.shell.conditions import Truth, evaluate_test
from rules_setcap.containers.shell.frame import Frame, StartedProgram
from rules_setcap.containers.shell.parse import parse_script
from rules_setcap.containers.shell.run import Builtin, ScriptRun
from rules_setcap.containers.shell.syntax import CommandSubstitution, SimpleCommand, UnsupportedSyntax
from rules_setcap.containers.shell.variable_builtins import VARIABLE_BUILTINS

_MAX_SOURCES = 10
"""The depth to which `.` and `eval` may be nested."""
_IGNORED = frozenset(": bg echo fg hash help jobs kill printf pwd shopt times trap true type ulimit umask wait disown".split())
"""Builtins that do not change what is followed here."""
_SUCCEEDING = frozenset(": true trap echo printf shopt umask".split())
"""Those of them whose status is taken to be 0."""


def _run_exec(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `exec`, which replaces the shell by a program."""
    if not arguments:
        return True
    if arguments[0] == "--":
        arguments = arguments[1:]
    reason = frame.unknown_reason
    if arguments and arguments[0] is not None and arguments[0].startswith("-"):
        reason = reason or f'uses options of exec ("{arguments[0]}")'
    run.execs.append((StartedProgram(tuple(arguments), frame.make_program_state(), command.line), reason))
    run.frame = None
    return None


def _run_exit(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `exit`, which ends the script."""
    # A script that exits with an error executes no program, so the frame does not count as an end.
    if not (arguments and arguments[0] is not None and arguments[0].isdigit() and int(arguments[0])):
        run.ends.append(frame)
    run.frame = None
    return None


def _run_return(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `return`, which returns from a function, or ends the script."""
    if not run.calls:
        return _run_exit(run, frame, command, arguments)
    status: Truth = None
    if arguments and arguments[0] is not None and arguments[0].isdigit():
        status = int(arguments[0]) == 0
    run.calls[-1].returned.append((frame, status))
    run.frame = None
    return None


def _make_loop_exit(broken: bool) -> Builtin:
    """Returns the builtin `break` or `continue`."""

    def leave_loop(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
        if not run.loops:
            return True
        depth = int(arguments[0]) if arguments and arguments[0] is not None and arguments[0].isdigit() else 1
        loop = run.loops[-min(max(depth, 1), len(run.loops))]
        (loop.broken if broken else loop.continued).append(frame)
        run.frame = None
        return None

    return leave_loop


def _run_source(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `.` or `source`, which run a file in this shell."""
    path = arguments[0] if arguments else None
    text = None
    if path is not None and "/" in path and "\0" not in frame.state.directory:
        text = run.system.read_script(posixpath.join(frame.state.directory, path), frame.state)
    if text is None:
        run.stop_following(f"reads {path or 'a file'} (line {command.line}), whose text is not known here")
        return None
    try:
        body = parse_script(text)
    except UnsupportedSyntax as error:
        run.stop_following(f"reads {path}, in which line {error.line} is not understood: {error.text}")
        return None
    if len(arguments) > 1 or len(run.sources) > _MAX_SOURCES:
        run.stop_following(f"reads {path} (line {command.line}) with arguments")
        return None
    run.sources.append(path or "")
    status = run.run_list(body)
    run.sources.pop()
    return status


def _run_eval(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `eval`, which runs a text in this shell."""
    known = [argument for argument in arguments if argument is not None]
    try:
        body = parse_script(" ".join(known)) if len(known) == len(arguments) and len(run.sources) <= _MAX_SOURCES else None
    except UnsupportedSyntax:
        body = None
    if body is None:
        run.stop_following(f"evaluates a text that is not known here (line {command.line})")
        return None
    run.sources.append("eval")
    status = run.run_list(body)
    run.sources.pop()
    return status


def _run_test(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `test`, which evaluates a condition."""
    known = [argument for argument in arguments if argument is not None]
    return evaluate_test(known) if len(known) == len(arguments) else None


def _run_bracket(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `[`, which evaluates a condition."""
    return _run_test(run, frame, command, arguments[:-1]) if arguments and arguments[-1] == "]" else None


def _run_command(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `command -v NAME`, which tests whether the image has a program."""
    if len(arguments) == 2 and arguments[0] in ("-v", "-V") and arguments[1] is not None:
        if (
            arguments[1] in _BUILTINS
            or arguments[1] in _IGNORED
            or run.system.find_program(arguments[1], frame.make_program_state())
        ):
            return True
        return None
    if arguments and arguments[0] is not None and arguments[0].startswith("-p"):
        return run.start_program(frame, command, [None])
    return None


def _run_unfollowed(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs a builtin whose effect on the rest of the script is not followed."""
    run.stop_following(f"uses a builtin that is not followed here (line {command.line})")
    return None


def _run_false(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `false`, which fails."""
    return False


_BUILTINS: Mapping[str, Builtin] = {
    **VARIABLE_BUILTINS,
    ".": _run_source,
    "[": _run_bracket,
    "alias": _run_unfollowed,
    "break": _make_loop_exit(broken=True),
    "command": _run_command,
    "continue": _make_loop_exit(broken=False),
    "enable": _run_unfollowed,
    "eval": _run_eval,
    "exec": _run_exec,
    "exit": _run_exit,
    "false": _run_false,
    "let": _run_unfollowed,
    "return": _run_return,
    "source": _run_source,
    "test": _run_test,
    "unalias": _run_unfollowed,
}


def run_simple_command(run: ScriptRun, command: SimpleCommand) -> Truth:
    """Runs a simple command; returns its status."""
    frame = run.frame
    assert frame is not None
    argv = [field for word in command.words for field in run.expander.expand_fields(frame, word)]
    if not argv:
        status = run.assign_variables(frame, command.assignments)
        return None if any(isinstance(part, CommandSubstitution) for word in command.words for part in word) else status
    name = argv[0]
    if name is None:
        return run.start_program(frame, command, argv)
    if name in frame.functions:
        # Assignments before a function stay set in some shells, so the variables are not known afterwards.
        for variable, _ in command.assignments:
            frame.variables[variable] = None
        return run.call_function(name, argv[1:])
    while (
        name in ("command", "builtin")
        and len(argv) > 1
        and (inner_name := argv[1]) is not None
        and not inner_name.startswith("-")
    ):
        argv, name = argv[1:], inner_name
    if name in _BUILTINS:
        if name == "exec":
            frame = frame.copy()
            run.assign_variables(frame, command.assignments)
            frame.exported |= {variable for variable, _ in command.assignments}
        return _BUILTINS[name](run, frame, command, argv[1:])
    if name in _IGNORED:
        return True if name in _SUCCEEDING else None
    return run.start_program(frame, command, argv)
