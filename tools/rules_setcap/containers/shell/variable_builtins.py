"""Builtins that change variables, arguments, options or the current directory."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import replace

from rules_setcap.containers.program_model import Argument
from rules_setcap.containers.shell.conditions import Truth
from rules_setcap.containers.shell.frame import Frame
from rules_setcap.containers.shell.run import Builtin, ScriptRun
from rules_setcap.containers.shell.syntax import Literal, SimpleCommand, Word


def _run_set(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `set`, which sets options and the arguments of the script."""
    at = 0
    while at < len(arguments):
        option = arguments[at]
        if option is None:
            frame.arguments = (*arguments[at:],)
            return True
        at += 1
        if option in ("--", "-"):
            if option == "--" or at < len(arguments):
                frame.arguments = tuple(arguments[at:])
            return True
        if option[:1] not in ("-", "+") or option == "+":
            frame.arguments = tuple(arguments[at - 1 :])
            return True
        if ("n" in option and option[0] == "-") or ("a" in option.removeprefix("-o") and option[0] == "-" and "o" not in option):
            run.stop_following(f'uses "set {option}"')
        if "e" in option:
            frame.errexit = option[0] == "-"
        if option.endswith("o") and at < len(arguments):
            if arguments[at] == "errexit":
                frame.errexit = option[0] == "-"
            elif arguments[at] in ("allexport", "noexec"):
                run.stop_following(f'uses "set {option} {arguments[at]}"')
            at += 1
    return True


def _run_shift(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `shift`, which removes the first arguments of the script."""
    text = arguments[0] if arguments else "1"
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


def _run_export(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `export`, which marks variables for the environment of programs."""
    if (arguments and arguments[0] == "-n") or (arguments and arguments[0] is not None and arguments[0].startswith("-f")):
        run.stop_following(f'uses "export {arguments[0]}"')
    return _declare(run, frame, command, arguments, exported=True)


def _declare(
    run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument], exported: bool = False, local: bool = False
) -> Truth:
    """Sets the variables of export, readonly, declare and local.

    The values of NAME=VALUE are those of the parsed assignments, because the arguments of these builtins are not split.

    Args:
      run: the run.
      frame: its frame.
      command: the command.
      arguments: the expanded arguments.
      exported: whether the variables are exported.
      local: whether the variables are local to the function.
    """
    values: dict[str, str | None] = {}
    for name, word in command.assignments:
        values[name] = run.expander.expand_text(frame, word) if word is not None else None
    names = set(values)
    for word, argument in _pair_with_words(run, frame, command, arguments):
        if argument is None:
            name = _find_assigned_name(run, frame, word)
            if name:
                values[name] = None
                names.add(name)
            else:
                run.stop_following("sets variables whose names are not known")
            continue
        if argument.startswith("-"):
            exported = exported or "x" in argument
            continue
        name, equals, value = argument.partition("=")
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


def _pair_with_words(
    run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]
) -> Iterator[tuple[Word, Argument]]:
    """Yields the arguments of a command, each with the word of the script that expands to it."""
    pairs = [(word, field) for word in command.words for field in run.expander.expand_fields(frame, word)]
    yield from pairs[len(pairs) - len(arguments) :]


def _find_assigned_name(run: ScriptRun, frame: Frame, word: Word) -> str:
    """Returns NAME of a word NAME=VALUE whose value is not known; "" if the name is not known either."""
    text = ""
    for part in word:
        value = part.text if isinstance(part, Literal) else run.expander.expand_part(frame, part)
        if value is None:
            return ""
        text += value
        if isinstance(part, Literal) and "=" in part.text:
            return text.partition("=")[0]
    return ""


def _run_local(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `local`, which declares variables of a function."""
    return _declare(run, frame, command, arguments, local=True)


def _run_declare(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `declare`, `readonly` or `typeset`, which set variables."""
    return _declare(run, frame, command, arguments)


def _run_unset(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `unset`, which unsets variables and functions."""
    for name in arguments:
        if name is None:
            run.stop_following("unsets variables whose names are not known")
        elif name == "-f":
            for function in frame.functions:
                frame.functions[function] = None
        elif not name.startswith("-"):
            # A frame has one value, None, for unset variables and for values that are not known.
            frame.variables[name] = None
    return True


def _run_cd(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `cd`, which changes the current directory."""
    target = arguments[-1] if arguments else None
    unknown = target is None or target == "-" or ("\0" in frame.state.directory and not target.startswith("/"))
    if "CDPATH" in frame.variables or "CDPATH" in frame.state.environment:
        unknown = True
    directory = "/\0" if unknown else posixpath.normpath(posixpath.join(frame.state.directory, target or ""))
    frame.state = replace(frame.state, directory=directory)
    frame.variables["PWD"] = None if unknown else directory
    frame.variables["OLDPWD"] = None
    return True


def _run_read(run: ScriptRun, frame: Frame, command: SimpleCommand, arguments: list[Argument]) -> Truth:
    """Runs `read` and similar builtins, which set variables to values that are not known here."""
    for name in arguments:
        if name is None:
            run.stop_following("reads into variables whose names are not known")
        elif not name.startswith("-"):
            frame.variables[name] = None
    return None


VARIABLE_BUILTINS: Mapping[str, Builtin] = {
    "cd": _run_cd,
    "declare": _run_declare,
    "export": _run_export,
    "getopts": _run_read,
    "local": _run_local,
    "mapfile": _run_read,
    "read": _run_read,
    "readarray": _run_read,
    "readonly": _run_declare,
    "set": _run_set,
    "shift": _run_shift,
    "typeset": _run_declare,
    "unset": _run_unset,
}
"""The builtins, by name."""
