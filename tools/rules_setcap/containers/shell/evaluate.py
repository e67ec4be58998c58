"""Follows a script to the programs that it may end in.

Every way through the script is followed; where a condition is not known, both ways are, and what differs between them is
not known where they meet. Files, the output of programs and their exit statuses are not known, with a few exceptions.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence

from rules_setcap.containers.programs.model import System
from rules_setcap.containers.shell import builtins
from rules_setcap.containers.shell.conditions import Brackets, Truth, invert
from rules_setcap.containers.shell.expand import Expander
from rules_setcap.containers.shell.frame import Frame, StartedProgram, merge_frames
from rules_setcap.containers.shell.run import FunctionCall, Loop, ScriptRun
from rules_setcap.containers.shell.syntax import (
    AndOr,
    ArithmeticCommand,
    BraceGroup,
    Case,
    Command,
    CommandList,
    DoubleBracket,
    For,
    FunctionDefinition,
    If,
    Pipeline,
    SimpleCommand,
    Subshell,
    While,
)

_STEPS = 20_000
_ROUNDS = 200
_DEPTH = 30


class Evaluator(ScriptRun):
    """A run of a script that follows both ways of a condition whose value is not known."""

    def __init__(self, system: System, frame: Frame, expander: Expander) -> None:
        super().__init__(system, frame, expander)
        self._steps = 0
        self._conditions = 0  # Conditions that the run is in, where `set -e` does not end the script.

    def run_list(self, commands: CommandList) -> Truth:
        status: Truth = True
        for item in commands.items:
            if self.frame is None:
                break
            status = self._and_or(item)
            if status is False and self.frame is not None and self.frame.errexit and self._exits(item):
                self.frame = None
        return status

    def _exits(self, item: AndOr) -> bool:
        """Returns whether set -e ends the script where this fails; a compound command has done so itself, or ignored it."""
        commands = item.first.commands
        return not (self._conditions or item.rest or item.first.negated) and isinstance(commands[-1], (SimpleCommand, DoubleBracket))

    def _branch(self, *ways: Callable[[], Truth]) -> Truth:
        start = self.frame
        ends: list[Frame] = []
        statuses: list[Truth] = []
        for way in ways:
            self.frame = start.copy() if start else None
            status = way()
            if self.frame is not None:
                ends.append(self.frame)
                statuses.append(status)
        self.frame = merge_frames(ends)
        return statuses[0] if statuses and all(status is statuses[0] for status in statuses) else None

    def _and_or(self, item: AndOr) -> Truth:
        if item.background:
            self._in_background(item)
            return True
        return self._run(item.first, item.rest)

    def _run(self, first: Pipeline, rest: Sequence[tuple[str, Pipeline]]) -> Truth:
        before = self.frame.last_program if self.frame else None
        self._conditions += bool(rest)
        status = self._pipeline(first)
        self._conditions -= bool(rest)
        if not rest or self.frame is None:
            return status
        operator, following = rest[0]
        go_on = status if operator == "&&" else invert(status)
        if go_on is not None:
            return self._run(following, rest[1:]) if go_on else self._skip(rest, status)

        def skip() -> Truth:
            # A program that failed is not the one that the script is about.
            if self.frame is not None and operator == "&&":
                self.frame.last_program = before
            return self._skip(rest, operator == "||")

        return self._branch(lambda: self._run(following, rest[1:]), skip)

    def _skip(self, rest: Sequence[tuple[str, Pipeline]], status: Truth) -> Truth:
        """Goes on after a pipeline that is skipped: a later operator may run what follows it."""
        for at in range(1, len(rest)):
            operator, following = rest[at]
            if (status is True) == (operator == "&&"):
                return self._run(following, rest[at + 1 :])
        return status

    def _in_background(self, item: AndOr) -> None:
        frame = self.frame
        assert frame is not None
        command = item.first.commands[0]
        if item.rest or len(item.first.commands) > 1 or not isinstance(command, SimpleCommand):
            self.background.append(StartedProgram((None,), frame.state, item.first.line))
            return
        words = [each for word in command.words for each in self.expander.fields(frame, word)]
        self.background.append(StartedProgram(tuple(words), frame.make_program_state(), command.line))

    def _pipeline(self, pipeline: Pipeline) -> Truth:
        if len(pipeline.commands) == 1:
            status = self._command(pipeline.commands[0])
            return invert(status) if pipeline.negated else status
        # Each command runs in a process of its own: nothing of the shell changes.
        self.start_separate_processes(pipeline.line)
        return None

    def start_separate_processes(self, line: int) -> None:
        """Notes commands that run in processes of their own, and which are not followed."""
        if self.frame is not None:
            self.frame.last_program = StartedProgram((None,), self.frame.state, line)
            self.started.append(self.frame.last_program)

    def _command(self, command: Command) -> Truth:
        self._steps += 1
        if self._steps > _STEPS:
            self.stop_following("is too long to be followed")
            return None
        match command:
            case SimpleCommand():
                return builtins.run_simple_command(self, command)
            case DoubleBracket():
                assert self.frame is not None
                return Brackets(command.words, self.expander, self.frame).value()
            case ArithmeticCommand():
                return None
            case BraceGroup():
                return self.run_list(command.body)
            case Subshell():
                self.start_separate_processes(command.body.items[0].first.line if command.body.items else 0)
                return None
            case If():
                return self._if(command, 0)
            case For():
                return self._for(command)
            case While():
                return self._while(command)
            case Case():
                return self._case(command)
            case FunctionDefinition():
                assert self.frame is not None
                self.frame.functions[command.name] = command.body
                return True

    def _condition(self, body: CommandList) -> Truth:
        before = self.frame.last_program if self.frame else None
        self._conditions += 1
        status = self.run_list(body)
        self._conditions -= 1
        if self.frame is not None:
            self.frame.last_program = before
        return status

    def _if(self, command: If, at: int) -> Truth:
        if at == len(command.branches):
            return self.run_list(command.otherwise)
        condition, body = command.branches[at]
        status = self._condition(condition)
        if self.frame is None:
            return None
        if status is None:
            return self._branch(lambda: self.run_list(body), lambda: self._if(command, at + 1))
        return self.run_list(body) if status else self._if(command, at + 1)

    def _round(self, body: Callable[[], Truth], out: list[Frame]) -> None:
        """Runs a round of a loop; what breaks out of it is added to `out`."""
        self.loops.append(Loop())
        body()
        loop = self.loops.pop()
        out += loop.broken
        self.frame = merge_frames([*loop.continued, *([self.frame] if self.frame is not None else [])])

    def _repeat(self, body: Callable[[], Truth], out: list[Frame]) -> None:
        """Runs a loop that has any number of rounds."""
        for _ in range(_ROUNDS):
            before = self.frame
            if before is None:
                return
            self.frame = before.copy()
            self._round(body, out)
            after = merge_frames([before, *([self.frame] if self.frame is not None else [])])
            self.frame = after
            if after == before:
                return
        self.stop_following("has a loop that is not followed")

    def _for(self, command: For) -> Truth:
        frame = self.frame
        assert frame is not None
        words = command.words
        values = frame.arguments if words is None else [each for word in words for each in self.expander.fields(frame, word)]
        out: list[Frame] = []

        def body(value: str | None) -> Callable[[], Truth]:
            def run() -> Truth:
                if self.frame is not None:
                    self.frame.variables[command.name] = value
                return self.run_list(command.body)

            return run

        if None in values or len(values) > _ROUNDS:
            self._repeat(body(None), out)
        else:
            for value in values:
                if self.frame is None:
                    break
                self._round(body(value), out)
        self.frame = merge_frames([*out, *([self.frame] if self.frame is not None else [])])
        return None

    def _while(self, command: While) -> Truth:
        out: list[Frame] = []
        for _ in range(_ROUNDS):
            status = self._condition(command.condition)
            if command.until:
                status = invert(status)
            if self.frame is None or status is not True:
                break
            self._round(lambda: self.run_list(command.body), out)
        else:
            self.stop_following("has a loop that is not followed")
            status = False

        def body() -> Truth:
            self.run_list(command.body)
            if self.frame is not None:
                self._condition(command.condition)
            return None

        if status is None and self.frame is not None:
            self._repeat(body, out)
        self.frame = merge_frames([*out, *([self.frame] if self.frame is not None else [])])
        return None

    def _case(self, command: Case) -> Truth:
        assert self.frame is not None
        if command.falls:
            self.stop_following("has a case that falls through")
        text = self.expander.text(self.frame, command.word)
        ways: list[Callable[[], Truth]] = []
        for patterns, body in command.branches:
            matched: Truth = False
            for each in patterns:
                pattern = self.expander.pattern(self.frame, each)
                if pattern == "*":
                    matched = True
                elif text is None or pattern is None:
                    matched = matched or None
                elif fnmatch.fnmatchcase(text, pattern):
                    matched = True
                if matched:
                    break
            if matched is not False:
                ways.append(lambda body=body: self.run_list(body))  # type: ignore[misc]
            if matched:
                break
        else:
            ways.append(lambda: True)
        return self._branch(*ways) if len(ways) > 1 else ways[0]()

    def call_function(self, name: str, arguments: Sequence[str | None]) -> Truth:
        """Runs a function."""
        frame = self.frame
        assert frame is not None
        body = frame.functions[name]
        if body is None or len(self.calls) >= _DEPTH:
            self.stop_following(f'calls the function "{name}", which is not followed')
            return None
        caller = frame.arguments
        frame.arguments = tuple(arguments)
        self.calls.append(FunctionCall())
        loops, self.loops = self.loops, []
        status = self._command(body)
        self.loops = loops
        call = self.calls.pop()
        ways = [*call.returned, *([(self.frame, status)] if self.frame is not None else [])]
        self.frame = merge_frames([end for end, _ in ways])
        status = ways[0][1] if ways and all(each is ways[0][1] for _, each in ways) else None
        if self.frame is not None:
            self.frame.arguments = caller
            for variable, (was_set, value) in call.saved.items():
                if was_set:
                    self.frame.variables[variable] = value
                else:
                    self.frame.variables.pop(variable, None)
        return status
