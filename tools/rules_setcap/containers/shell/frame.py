"""The state of a running shell at one point of a script, and the merge of two states where two ways through it meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rules_setcap.containers.program_model import Argument, ProcessState
from rules_setcap.containers.shell.syntax import Command


@dataclass(frozen=True)
class StartedProgram:
    """A program that a script starts.

    Attributes:
      argv: the arguments, the program's name first.
      state: the state of the process that executes the program.
      line: the number of the command's line in the script, from 1.
    """

    argv: tuple[Argument, ...]
    state: ProcessState
    line: int


@dataclass
class Frame:
    """The state of a shell at a point of a script that is reached.

    Attributes:
      state: the state of the shell's process. Its environment is that with which the shell was started.
      variables: the variables that the script sets; None is a value that is not known, or an unset variable.
      exported: the names of the variables that the script exports.
      arguments: $1 and the following arguments.
      functions: the functions by name; None is a function that is one of several.
      last_program: the program that was started last in the foreground; None if no program was started.
      unknown_reason: why it is not known what the script does from this point on; "" if it is known.
      errexit: whether `set -e` is on.
    """

    state: ProcessState
    variables: dict[str, str | None] = field(default_factory=dict)
    exported: frozenset[str] = frozenset()
    arguments: tuple[Argument, ...] = ()
    functions: dict[str, Command | None] = field(default_factory=dict)
    last_program: StartedProgram | None = None
    unknown_reason: str = ""
    errexit: bool = False

    def copy(self) -> Frame:
        """Returns a frame whose changes do not change this one."""
        return replace(self, variables=dict(self.variables), functions=dict(self.functions))

    def make_program_state(self) -> ProcessState:
        """Returns the state in which a program is executed: with the values of exported variables."""
        names = self.exported | self.state.environment.keys()
        exported = {name: self.variables[name] for name in names if name in self.variables}
        return replace(self.state, environment={**self.state.environment, **exported})


def merge_frames(frames: Sequence[Frame]) -> Frame | None:
    """Returns a frame in which everything that differs between frames is not known; None if there are no frames."""
    if not frames:
        return None
    first, *others = frames
    merged = first.copy()
    for other in others:
        for name in merged.variables.keys() | other.variables.keys():
            if (name in merged.variables, merged.variables.get(name)) != (name in other.variables, other.variables.get(name)):
                merged.variables[name] = None
        for name in merged.functions.keys() | other.functions.keys():
            if merged.functions.get(name) != other.functions.get(name):
                merged.functions[name] = None
        if merged.arguments != other.arguments:
            merged.arguments = _merge_arguments(merged.arguments, other.arguments)
        if merged.state != other.state:
            merged.state = _merge_states(merged.state, other.state)
        merged.exported |= other.exported
        if merged.last_program != other.last_program:
            merged.last_program = _merge_last_programs(merged, other)
        merged.unknown_reason = merged.unknown_reason or other.unknown_reason
        merged.errexit |= other.errexit
    return merged


def _merge_last_programs(one: Frame, other: Frame) -> StartedProgram | None:
    """Returns the program that was started last in either frame; a program that is not known if both have another one."""
    if one.last_program is None or other.last_program is None:
        return one.last_program or other.last_program
    return StartedProgram((None,), one.state, other.last_program.line)


def _merge_arguments(one: tuple[Argument, ...], other: tuple[Argument, ...]) -> tuple[Argument, ...]:
    """Returns the arguments with which both begin, and an unknown rest."""
    common: list[Argument] = []
    for left, right in zip(one, other, strict=False):
        if left != right or left is None:
            break
        common.append(left)
    return (*common, None)


def _merge_states(one: ProcessState, other: ProcessState) -> ProcessState:
    """Returns a state in which variables and a directory that differ are not known."""
    environment: dict[str, str | None] = dict(one.environment)
    for name in one.environment.keys() | other.environment.keys():
        if one.environment.get(name) != other.environment.get(name) or name not in one.environment:
            environment[name] = None
    directory = one.directory if one.directory == other.directory else "/\0"
    return replace(one, environment=environment, others=one.others or other.others, directory=directory)
