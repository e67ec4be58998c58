"""Runs a script in the abstract, to find the programs in which it may end.

Where a condition is not known, both ways are followed; everything that differs between them is not known from the point
where they meet. Files, the output of programs and their exit statuses are not known, with a few exceptions.
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Callable, Sequence

from rules_setcap.containers.program_model import System
from rules_setcap.containers.shell import builtins
from rules_setcap.containers.shell.conditions import DoubleBracketEvaluator, Truth, negate
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

_MAX_STEPS = 20_000
"""The number of commands that are run before the script is given up."""
_MAX_ROUNDS = 200
"""The number of rounds of one loop."""
_MAX_CALLS = 30
"""The depth of function calls."""


class Evaluator(ScriptRun):
    """A run of a script that follows both ways of a condition whose value is not known."""

    def __init__(self, system: System, frame: Frame, expander: Expander) -> None:
        """Takes the system, the frame at the beginning of the script, and the expander of its words."""
        super().__init__(system, frame, expander)
        self._steps = 0
        self._conditions = 0  # Conditions that the run is in, where `set -e` does not end the script.

    def run_list(self, commands: CommandList) -> Truth:
        """Runs commands up to the end of the list, or until every way has ended."""
        status: Truth = True
        for item in commands.items:
            if self.frame is None:
                break
            status = self._run_and_or(item)
            if status is False and self.frame is not None and self.frame.errexit and self._exits_on_failure(item):
                self.frame = None
        return status

    def _exits_on_failure(self, item: AndOr) -> bool:
        """Returns whether `set -e` ends the script if an AND-OR list fails.

        A compound command that fails has already ended the script, or ignored the failure.
        """
        commands = item.first.commands
        return not (self._conditions or item.rest or item.first.negated) and isinstance(
            commands[-1], (SimpleCommand, DoubleBracket)
        )

    def _follow_ways(self, *ways: Callable[[], Truth]) -> Truth:
        """Runs each way from the current frame, and merges their ends; returns the status if it is the same in all."""
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

    def _run_and_or(self, item: AndOr) -> Truth:
        """Runs an AND-OR list; returns its status."""
        if item.background:
            self._start_in_background(item)
            return True
        return self._run_pipelines(item.first, item.rest)

    def _run_pipelines(self, first: Pipeline, rest: Sequence[tuple[str, Pipeline]]) -> Truth:
        """Runs a pipeline and those of the rest that its status allows; returns the last status."""
        before = self.frame.last_program if self.frame else None
        self._conditions += bool(rest)
        status = self._run_pipeline(first)
        self._conditions -= bool(rest)
        if not rest or self.frame is None:
            return status
        operator, following = rest[0]
        go_on = status if operator == "&&" else negate(status)
        if go_on is not None:
            return self._run_pipelines(following, rest[1:]) if go_on else self._skip_pipeline(rest, status)

        def skip() -> Truth:
            # A program that fails is not the one that the script is about.
            if self.frame is not None and operator == "&&":
                self.frame.last_program = before
            return self._skip_pipeline(rest, operator == "||")

        return self._follow_ways(lambda: self._run_pipelines(following, rest[1:]), skip)

    def _skip_pipeline(self, rest: Sequence[tuple[str, Pipeline]], status: Truth) -> Truth:
        """Goes on after the first of some pipelines, which is skipped: a later operator may allow one of the others.

        Args:
          rest: the pipelines, each with the operator before it.
          status: the status of the pipeline before them.
        """
        for at in range(1, len(rest)):
            operator, following = rest[at]
            if (status is True) == (operator == "&&"):
                return self._run_pipelines(following, rest[at + 1 :])
        return status

    def _start_in_background(self, item: AndOr) -> None:
        """Records the program of a list with `&`."""
        frame = self.frame
        assert frame is not None
        command = item.first.commands[0]
        if item.rest or len(item.first.commands) > 1 or not isinstance(command, SimpleCommand):
            self.background.append(StartedProgram((None,), frame.state, item.first.line))
            return
        argv = [field for word in command.words for field in self.expander.expand_fields(frame, word)]
        self.background.append(StartedProgram(tuple(argv), frame.make_program_state(), command.line))

    def _run_pipeline(self, pipeline: Pipeline) -> Truth:
        """Runs a pipeline; returns its status."""
        if len(pipeline.commands) == 1:
            status = self._run_command(pipeline.commands[0])
            return negate(status) if pipeline.negated else status
        # Each command runs in a process of its own, so the frame does not change.
        self._start_processes(pipeline.line)
        return None

    def _start_processes(self, line: int) -> None:
        """Records commands that run in processes of their own, which are not followed."""
        if self.frame is not None:
            self.frame.last_program = StartedProgram((None,), self.frame.state, line)
            self.started.append(self.frame.last_program)

    def _run_command(self, command: Command) -> Truth:
        """Runs a command of any kind; returns its status."""
        self._steps += 1
        if self._steps > _MAX_STEPS:
            self.stop_following("is too long to be followed")
            return None
        match command:
            case SimpleCommand():
                return builtins.run_simple_command(self, command)
            case DoubleBracket():
                assert self.frame is not None
                return DoubleBracketEvaluator(command.words, self.expander, self.frame).evaluate()
            case ArithmeticCommand():
                return None
            case BraceGroup():
                return self.run_list(command.body)
            case Subshell():
                self._start_processes(command.body.items[0].first.line if command.body.items else 0)
                return None
            case If():
                return self._run_if(command, 0)
            case For():
                return self._run_for(command)
            case While():
                return self._run_while(command)
            case Case():
                return self._run_case(command)
            case FunctionDefinition():
                assert self.frame is not None
                self.frame.functions[command.name] = command.body
                return True

    def _run_condition(self, body: CommandList) -> Truth:
        """Runs the condition of an if command or a loop; returns its status."""
        before = self.frame.last_program if self.frame else None
        self._conditions += 1
        status = self.run_list(body)
        self._conditions -= 1
        if self.frame is not None:
            self.frame.last_program = before
        return status

    def _run_if(self, command: If, at: int) -> Truth:
        """Runs an if command from one of its branches on."""
        if at == len(command.branches):
            return self.run_list(command.otherwise)
        condition, body = command.branches[at]
        status = self._run_condition(condition)
        if self.frame is None:
            return None
        if status is None:
            return self._follow_ways(lambda: self.run_list(body), lambda: self._run_if(command, at + 1))
        return self.run_list(body) if status else self._run_if(command, at + 1)

    def _run_round(self, body: Callable[[], Truth], out: list[Frame]) -> None:
        """Runs a round of a loop.

        Args:
          body: runs the commands.
          out: the list to which the frames that break out of the loop are added.
        """
        self.loops.append(Loop())
        body()
        loop = self.loops.pop()
        out += loop.broken
        self.frame = merge_frames([*loop.continued, *([self.frame] if self.frame is not None else [])])

    def _repeat_round(self, body: Callable[[], Truth], out: list[Frame]) -> None:
        """Runs a loop that has any number of rounds, until another round changes nothing; the arguments are those of _run_round()."""
        for _ in range(_MAX_ROUNDS):
            before = self.frame
            if before is None:
                return
            self.frame = before.copy()
            self._run_round(body, out)
            after = merge_frames([before, *([self.frame] if self.frame is not None else [])])
            self.frame = after
            if after == before:
                return
        self.stop_following("has a loop that is not followed")

    def _run_for(self, command: For) -> Truth:
        """Runs a for loop."""
        frame = self.frame
        assert frame is not None
        words = command.words
        values = (
            frame.arguments if words is None else [field for word in words for field in self.expander.expand_fields(frame, word)]
        )
        out: list[Frame] = []

        def make_round(value: str | None) -> Callable[[], Truth]:
            def run_body() -> Truth:
                if self.frame is not None:
                    self.frame.variables[command.name] = value
                return self.run_list(command.body)

            return run_body

        if None in values or len(values) > _MAX_ROUNDS:
            self._repeat_round(make_round(None), out)
        else:
            for value in values:
                if self.frame is None:
                    break
                self._run_round(make_round(value), out)
        self.frame = merge_frames([*out, *([self.frame] if self.frame is not None else [])])
        return None

    def _run_while(self, command: While) -> Truth:
        """Runs a while or until loop."""
        out: list[Frame] = []
        for _ in range(_MAX_ROUNDS):
            status = self._run_condition(command.condition)
            if command.until:
                status = negate(status)
            if self.frame is None or status is not True:
                break
            self._run_round(lambda: self.run_list(command.body), out)
        else:
            self.stop_following("has a loop that is not followed")
            status = False

        def run_body_and_condition() -> Truth:
            self.run_list(command.body)
            if self.frame is not None:
                self._run_condition(command.condition)
            return None

        if status is None and self.frame is not None:
            self._repeat_round(run_body_and_condition, out)
        self.frame = merge_frames([*out, *([self.frame] if self.frame is not None else [])])
        return None

    def _run_case(self, command: Case) -> Truth:
        """Runs a case command."""
        assert self.frame is not None
        if command.falls_through:
            self.stop_following("has a case that falls through")
        text = self.expander.expand_text(self.frame, command.word)
        ways: list[Callable[[], Truth]] = []
        for patterns, body in command.branches:
            matches: Truth = False
            for word in patterns:
                pattern = self.expander.expand_pattern(self.frame, word)
                if pattern == "*":
                    matches = True
                elif text is None or pattern is None:
                    matches = matches or None
                elif fnmatch.fnmatchcase(text, pattern):
                    matches = True
                if matches:
                    break
            if matches is not False:
                ways.append(functools.partial(self.run_list, body))
            if matches:
                break
        else:
            ways.append(lambda: True)
        return self._follow_ways(*ways) if len(ways) > 1 else ways[0]()

    def call_function(self, name: str, arguments: Sequence[str | None]) -> Truth:
        """Runs the body of a function, and restores the arguments and the local variables after it."""
        frame = self.frame
        assert frame is not None
        body = frame.functions[name]
        if body is None or len(self.calls) >= _MAX_CALLS:
            self.stop_following(f'calls the function "{name}", which is not followed')
            return None
        caller = frame.arguments
        frame.arguments = tuple(arguments)
        self.calls.append(FunctionCall())
        loops, self.loops = self.loops, []
        status = self._run_command(body)
        self.loops = loops
        call = self.calls.pop()
        ways = [*call.returned, *([(self.frame, status)] if self.frame is not None else [])]
        self.frame = merge_frames([end for end, _ in ways])
        status = ways[0][1] if ways and all(other is ways[0][1] for _, other in ways) else None
        if self.frame is not None:
            self.frame.arguments = caller
            for variable, (was_set, value) in call.saved.items():
                if was_set:
                    self.frame.variables[variable] = value
                else:
                    self.frame.variables.pop(variable, None)
        return status
