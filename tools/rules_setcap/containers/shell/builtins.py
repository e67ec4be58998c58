"""Runs simple commands: assignments, builtins, functions and other programs."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import replace

from rules_setcap.containers.programs.model import Argument
from rules_setcap.containers.shell.conditions import Truth, test
from rules_setcap.containers.shell.frame import Frame, StartedProgram
from rules_setcap.containers.shell.parse import parse_script
from rules_setcap.containers.shell.run import ScriptRun
from rules_setcap.containers.shell.syntax import CommandSubstitution, Literal, Parameter, SimpleCommand, UnsupportedSyntax, Word

_IGNORED = frozenset(": bg echo fg hash help jobs kill printf pwd shopt times trap true type ulimit umask wait disown".split())
"""Builtins that change nothing that is followed here."""


def run_simple_command(run: ScriptRun, command: SimpleCommand) -> Truth:
    """Runs a simple command; returns its status."""
    frame = run.frame
    assert frame is not None
    words: list[Argument] = [field for word in command.words for field in run.expander.fields(frame, word)]
    if not words:
        status = _assign(run, frame, command.assignments)
        return None if any(isinstance(part, CommandSubstitution) for word in command.words for part in word) else status
    name = words[0]
    if name is None:
        return _start(run, frame, command, words)
    if name in frame.functions:
        # Assignments before a function stay set in some shells; the variables are not known afterwards.
        for variable, _ in command.assignments:
            frame.variables[variable] = None
        return run.call_function(name, words[1:])
    while name in ("command", "builtin") and len(words) > 1 and words[1] is not None and not words[1].startswith("-"):
        words, name = words[1:], words[1]
    if name in _BUILTINS:
        if name == "exec":
            frame = frame.copy()
            _assign(run, frame, command.assignments)
            frame.exported |= {variable for variable, _ in command.assignments}
        return _BUILTINS[name](run, frame, command, words[1:])
    if name in _IGNORED:
        return True if name in (":", "true", "trap", "echo", "printf", "shopt", "umask") else None
    return _start(run, frame, command, words)


def _assign(run: ScriptRun, frame: Frame, assignments: tuple[tuple[str, Word | None], ...]) -> Truth:
    status: Truth = True
    for name, word in assignments:
        frame.variables[name] = run.expander.text(frame, word) if word is not None else None
        if word and any(isinstance(part, CommandSubstitution) for part in word):
            status = None
        _use(frame, word or ())
    return status


def _use(frame: Frame, word: Word) -> None:
    """Sets the variables that ${name:=word} may set."""
    for part in word:
        if isinstance(part, Parameter) and part.operator.endswith("="):
            frame.variables[part.name] = None


def _start(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    """Starts a program."""
    inner = frame.copy()
    _assign(run, inner, command.assignments)
    inner.exported |= {variable for variable, _ in command.assignments}
    frame.last_program = StartedProgram(tuple(words), inner.make_program_state(), command.line)
    run.started.append(frame.last_program)
    return False if words[0] in ("false",) else None


def _exec(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    if not words:
        return True
    if words[0] == "--":
        words = words[1:]
    lost = frame.unknown_reason
    if words and words[0] is not None and words[0].startswith("-"):
        lost = lost or f'uses options of exec ("{words[0]}")'
    run.execs.append((StartedProgram(tuple(words), frame.make_program_state(), command.line), lost))
    run.frame = None
    return None


def _exit(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    # A script that gives up executes nothing.
    if not (words and words[0] is not None and words[0].isdigit() and int(words[0])):
        run.ends.append(frame)
    run.frame = None
    return None


def _return(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    if not run.calls:
        return _exit(run, frame, command, words)
    status: Truth = None
    if words and words[0] is not None and words[0].isdigit():
        status = int(words[0]) == 0
    run.calls[-1].returned.append((frame, status))
    run.frame = None
    return None


def _leave(broken: bool) -> Callable[[ScriptRun, Frame, SimpleCommand, list[Argument]], Truth]:
    def leave(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
        if not run.loops:
            return True
        depth = int(words[0]) if words and words[0] is not None and words[0].isdigit() else 1
        loop = run.loops[-min(max(depth, 1), len(run.loops))]
        (loop.broken if broken else loop.continued).append(frame)
        run.frame = None
        return None

    return leave


def _set(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    at = 0
    while at < len(words):
        word = words[at]
        if word is None:
            frame.arguments = (*words[at:],)
            return True
        at += 1
        if word in ("--", "-"):
            if word == "--" or at < len(words):
                frame.arguments = tuple(words[at:])
            return True
        if word[:1] not in ("-", "+") or word == "+":
            frame.arguments = tuple(words[at - 1 :])
            return True
        if "n" in word and word[0] == "-" or "a" in word.removeprefix("-o") and word[0] == "-" and "o" not in word:
            run.stop_following(f'uses "set {word}"')
        if "e" in word:
            frame.errexit = word[0] == "-"
        if word.endswith("o") and at < len(words):
            if words[at] == "errexit":
                frame.errexit = word[0] == "-"
            elif words[at] in ("allexport", "noexec"):
                run.stop_following(f'uses "set {word} {words[at]}"')
            at += 1
    return True


def _shift(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    text = words[0] if words else "1"
    if text is None or not text.isdigit():
        frame.arguments = (None,)
        return None
    count = int(text)
    if None in frame.arguments[:count]:
        frame.arguments = (None,)
        return None
    if count > len(frame.arguments):
        return False
    frame.arguments = frame.arguments[count:]
    return True


def _export(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    if words and words[0] == "-n" or words and words[0] is not None and words[0].startswith("-f"):
        run.stop_following(f'uses "export {words[0]}"')
    return _declare(run, frame, command, words, exported=True)


def _declare(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument], exported: bool = False, local: bool = False) -> Truth:
    """export, readonly, declare, local: name=value. Assignments among the words are read from the source."""
    values: dict[str, str | None] = {}
    for name, word in command.assignments:
        values[name] = run.expander.text(frame, word) if word is not None else None
    names = set(values)
    for word, each in _named(run, frame, command, words):
        if each is None:
            name = _name(run, frame, word)
            if name:
                values[name] = None
                names.add(name)
            else:
                run.stop_following("sets variables whose names are not known")
            continue
        if each.startswith("-"):
            exported = exported or "x" in each
            continue
        name, equals, value = each.partition("=")
        names.add(name)
        if equals:
            values[name] = value
    if local and run.calls:
        for name in names:
            run.calls[-1].saved.setdefault(name, (name in frame.variables, frame.variables.get(name)))
            frame.variables.setdefault(name, None)
    frame.variables.update(values)
    if exported:
        frame.exported |= names
    return True


def _named(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Iterator[tuple[Word, Argument]]:
    """Yields the words after a command's name, each with its source."""
    pairs = [(word, field) for word in command.words for field in run.expander.fields(frame, word)]
    yield from pairs[len(pairs) - len(words) :]


def _name(run: ScriptRun, frame: Frame, word: Word) -> str:
    """Returns the name in name=value, whose value is not known; "" if the name is not known either."""
    text = ""
    for part in word:
        value = part.text if isinstance(part, Literal) else run.expander.value(frame, part)
        if value is None:
            return ""
        text += value
        if isinstance(part, Literal) and "=" in part.text:
            return text.partition("=")[0]
    return ""


def _local(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    return _declare(run, frame, command, words, local=True)


def _plain_declare(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    return _declare(run, frame, command, words)


def _unset(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    for name in words:
        if name is None:
            run.stop_following("unsets variables whose names are not known")
        elif name == "-f":
            for function in frame.functions:
                frame.functions[function] = None
        elif not name.startswith("-"):
            # Nothing here tells an unset variable from one whose value is not known.
            frame.variables[name] = None
    return True


def _cd(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    target = words[-1] if words else None
    unknown = target is None or target == "-" or "\0" in frame.state.directory and not target.startswith("/")
    if "CDPATH" in frame.variables or "CDPATH" in frame.state.environment:
        unknown = True
    directory = "/\0" if unknown else posixpath.normpath(posixpath.join(frame.state.directory, target or ""))
    frame.state = replace(frame.state, directory=directory)
    frame.variables["PWD"] = None if unknown else directory
    frame.variables["OLDPWD"] = None
    return True


def _source(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    path = words[0] if words else None
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
    if len(words) > 1 or len(run.sources) > 10:
        run.stop_following(f"reads {path} (line {command.line}) with arguments")
        return None
    run.sources.append(path or "")
    status = run.run_list(body)
    run.sources.pop()
    return status


def _eval(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    known = [each for each in words if each is not None]
    try:
        body = parse_script(" ".join(known)) if len(known) == len(words) and len(run.sources) <= 10 else None
    except UnsupportedSyntax:
        body = None
    if body is None:
        run.stop_following(f"evaluates a text that is not known here (line {command.line})")
        return None
    run.sources.append("eval")
    status = run.run_list(body)
    run.sources.pop()
    return status


def _read(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    for name in words:
        if name is None:
            run.stop_following("reads into variables whose names are not known")
        elif not name.startswith("-"):
            frame.variables[name] = None
    return None


def _test(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    known = [each for each in words if each is not None]
    return test(known) if len(known) == len(words) else None


def _bracket(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    return _test(run, frame, command, words[:-1]) if words and words[-1] == "]" else None


def _command(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    """command -v NAME: whether the image has a program."""
    if len(words) == 2 and words[0] in ("-v", "-V") and words[1] is not None:
        if words[1] in _BUILTINS or words[1] in _IGNORED or run.system.find_program(words[1], frame.make_program_state()):
            return True
        return None
    if words and words[0] is not None and words[0].startswith("-p"):
        return _start(run, frame, command, [None])
    return None


def _unfollowed(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    run.stop_following(f"uses a builtin that is not followed here (line {command.line})")
    return None


def _false(run: ScriptRun, frame: Frame, command: SimpleCommand, words: list[Argument]) -> Truth:
    return False


_BUILTINS: dict[str, Callable[[ScriptRun, Frame, SimpleCommand, list[Argument]], Truth]] = {
    ".": _source,
    "[": _bracket,
    "alias": _unfollowed,
    "break": _leave(broken=True),
    "cd": _cd,
    "command": _command,
    "continue": _leave(broken=False),
    "declare": _plain_declare,
    "enable": _unfollowed,
    "eval": _eval,
    "exec": _exec,
    "exit": _exit,
    "export": _export,
    "false": _false,
    "getopts": _read,
    "let": _unfollowed,
    "local": _local,
    "mapfile": _read,
    "read": _read,
    "readarray": _read,
    "readonly": _plain_declare,
    "return": _return,
    "set": _set,
    "shift": _shift,
    "source": _source,
    "test": _test,
    "typeset": _plain_declare,
    "unalias": _unfollowed,
    "unset": _unset,
}
