"""The state of the run of a script, which builtins read and change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rules_setcap.containers.program_model import Argument, System
from rules_setcap.containers.shell.conditions import Truth
from rules_setcap.containers.shell.expand import Expander
from rules_setcap.containers.shell.frame import Frame, StartedProgram
from rules_setcap.containers.shell.syntax import CommandList, CommandSubstitution, Parameter, SimpleCommand, Word


@dataclass
class Loop:
    """The frames that leave a round of a loop early.

    Attributes:
      broken: those that leave the loop (break).
      continued: those that go on with the next round (continue).
    """

    broken: list[Frame] = field(default_factory=list)
    continued: list[Frame] = field(default_factory=list)


@dataclass
class FunctionCall:
    """A call of a shell function.

    Attributes:
      returned: the frames that return from the function, each with the status.
      saved: for each local variable whether it was set before the call, and its value then.
    """

    returned: list[tuple[Frame, Truth]] = field(default_factory=list)
    saved: dict[str, tuple[bool, str | None]] = field(default_factory=dict)


class ScriptRun:
    """The run of a script: the point that it has reached, and the programs that it started on the way.

    evaluate.Evaluator is its implementation. The base class keeps builtins.py from importing the evaluator.

    Attributes:
      system: the system that the script runs in.
      expander: expands the words of the script.
      frame: the point that the run has reached; None if every way through the script has ended.
      execs: the programs that replace the shell (exec), each with the reason why it is not known whether it does, or "".
      ends: the frames at which the script ends without replacing the shell.
      started: all programs that are started in the foreground.
      background: the programs that are started in the background.
      loops: the loops that the run is in, the innermost last.
      calls: the function calls that the run is in, the innermost last.
      sources: the files and texts that the run is in because of `.` and `eval`, the innermost last.
    """

    def __init__(self, system: System, frame: Frame, expander: Expander) -> None:
        """Takes the system, the frame at the beginning of the script, and the expander of its words."""
        self.system, self.expander = system, expander
        self.frame: Frame | None = frame
        self.execs: list[tuple[StartedProgram, str]] = []
        self.ends: list[Frame] = []
        self.started: list[StartedProgram] = []
        self.background: list[StartedProgram] = []
        self.loops: list[Loop] = []
        self.calls: list[FunctionCall] = []
        self.sources: list[str] = []

    def stop_following(self, reason: str) -> None:
        """Makes the rest of the way that the run is on unknown.

        Args:
          reason: why the script cannot be followed; it follows the shell's name in a sentence.
        """
        if self.frame is not None and not self.frame.unknown_reason:
            self.frame.unknown_reason = reason

    def assign_variables(self, frame: Frame, assignments: Sequence[tuple[str, Word | None]]) -> Truth:
        """Sets variables; returns the status of the assignments.

        Args:
          frame: the frame whose variables are set.
          assignments: as in syntax.SimpleCommand.
        """
        status: Truth = True
        for name, word in assignments:
            frame.variables[name] = self.expander.expand_text(frame, word) if word is not None else None
            for part in word or ():
                if isinstance(part, CommandSubstitution):
                    status = None
                elif isinstance(part, Parameter) and part.operator.endswith("="):
                    frame.variables[part.name] = None  # ${NAME:=WORD} may set it.
        return status

    def start_program(self, frame: Frame, command: SimpleCommand, argv: Sequence[Argument]) -> Truth:
        """Records that the script starts a program in the foreground; returns the program's status."""
        inner = frame.copy()
        self.assign_variables(inner, command.assignments)
        inner.exported |= {variable for variable, _ in command.assignments}
        frame.last_program = StartedProgram(tuple(argv), inner.make_program_state(), command.line)
        self.started.append(frame.last_program)
        return False if argv[0] == "false" else None

    def run_list(self, commands: CommandList) -> Truth:
        """Runs commands; returns the status of the last one."""
        raise NotImplementedError

    def call_function(self, name: str, arguments: Sequence[Argument]) -> Truth:
        """Calls a function of the script; returns its status."""
        raise NotImplementedError


Builtin = Callable[[ScriptRun, Frame, SimpleCommand, list[Argument]], Truth]
"""A builtin: a function of the run, its frame, the command and the expanded arguments, which returns the status."""
