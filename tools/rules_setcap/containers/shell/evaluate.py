"""Follows a script to the programs that it may end in.

Every way through the script is followed; where a condition is not known, both ways are, and what differs between them is
not known where they meet. Files, the output of programs and their exit statuses are not known, with a few exceptions.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rules_setcap.containers.programs.model import System
from rules_setcap.containers.shell import builtins
from rules_setcap.containers.shell.conditions import Brackets, Truth, invert
from rules_setcap.containers.shell.expand import Expander
from rules_setcap.containers.shell.frame import Frame, Started, merge
from rules_setcap.containers.shell.syntax import (
    AndOr,
    Arithmetic,
    Case,
    Command,
    For,
    Function,
    Group,
    If,
    Pipeline,
    Simple,
    Subshell,
    Test,
    While,
)
from rules_setcap.containers.shell.syntax import Sequence as Body

_STEPS = 20_000
_ROUNDS = 200
_DEPTH = 30


@dataclass
class Loop:
    """The ways that leave a round of a loop early."""

    broken: list[Frame] = field(default_factory=list)
    continued: list[Frame] = field(default_factory=list)


@dataclass
class Call:
    """The ways that return from a function, and its local variables."""

    returned: list[tuple[Frame, Truth]] = field(default_factory=list)
    saved: dict[str, tuple[bool, str | None]] = field(default_factory=dict)


class Evaluator:
    """A run of a script.

    Attributes:
      now: where the run is; None where every way has ended.
      outcomes: the programs that replace the shell.
      ends: the frames at which the script ends without that.
      started: all programs that are started, in the foreground or the background.
      background: those in the background.
      loops, calls, sources: the loops, functions and sourced files that the run is in, the innermost last.
    """

    def __init__(self, system: System, frame: Frame, expander: Expander) -> None:
        self.system, self.expander = system, expander
        self.now: Frame | None = frame
        self.outcomes: list[tuple[Started, str]] = []
        self.ends: list[Frame] = []
        self.started: list[Started] = []
        self.background: list[Started] = []
        self.loops: list[Loop] = []
        self.calls: list[Call] = []
        self.sources: list[str] = []
        self._steps = 0
        self._tested = 0

    def lose(self, why: str) -> None:
        """Marks all that follows as not known."""
        if self.now is not None and not self.now.lost:
            self.now.lost = why

    def sequence(self, body: Body) -> Truth:
        """Runs lists; returns the last status."""
        status: Truth = True
        for item in body.items:
            if self.now is None:
                break
            status = self._and_or(item)
            if status is False and self.now is not None and self.now.errexit and self._exits(item):
                self.now = None
        return status

    def _exits(self, item: AndOr) -> bool:
        """Returns whether set -e ends the script where this fails; a compound command has done so itself, or ignored it."""
        commands = item.first.commands
        return not (self._tested or item.rest or item.first.negated) and isinstance(commands[-1], (Simple, Test))

    def _branch(self, *ways: Callable[[], Truth]) -> Truth:
        start = self.now
        ends: list[Frame] = []
        statuses: list[Truth] = []
        for way in ways:
            self.now = start.copy() if start else None
            status = way()
            if self.now is not None:
                ends.append(self.now)
                statuses.append(status)
        self.now = merge(ends)
        return statuses[0] if statuses and all(status is statuses[0] for status in statuses) else None

    def _and_or(self, item: AndOr) -> Truth:
        if item.background:
            self._in_background(item)
            return True
        return self._run(item.first, item.rest)

    def _run(self, first: Pipeline, rest: Sequence[tuple[str, Pipeline]]) -> Truth:
        before = self.now.last if self.now else None
        self._tested += bool(rest)
        status = self._pipeline(first)
        self._tested -= bool(rest)
        if not rest or self.now is None:
            return status
        operator, following = rest[0]
        go_on = status if operator == "&&" else invert(status)
        if go_on is not None:
            return self._run(following, rest[1:]) if go_on else self._skip(rest, status)

        def skip() -> Truth:
            # A program that failed is not the one that the script is about.
            if self.now is not None and operator == "&&":
                self.now.last = before
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
        frame = self.now
        assert frame is not None
        command = item.first.commands[0]
        if item.rest or len(item.first.commands) > 1 or not isinstance(command, Simple):
            self.background.append(Started((None,), frame.state, item.first.line))
            return
        words = [each for word in command.words for each in self.expander.fields(frame, word)]
        self.background.append(Started(tuple(words), frame.environment(), command.line))

    def _pipeline(self, pipeline: Pipeline) -> Truth:
        if len(pipeline.commands) == 1:
            status = self._command(pipeline.commands[0])
            return invert(status) if pipeline.negated else status
        # Each command runs in a process of its own: nothing of the shell changes.
        self.run_apart(pipeline.line)
        return None

    def run_apart(self, line: int) -> None:
        """Notes commands that run in processes of their own, and which are not followed."""
        if self.now is not None:
            self.now.last = Started((None,), self.now.state, line)
            self.started.append(self.now.last)

    def _command(self, command: Command) -> Truth:
        self._steps += 1
        if self._steps > _STEPS:
            self.lose("is too long to be followed")
            return None
        match command:
            case Simple():
                return builtins.simple(self, command)
            case Test():
                assert self.now is not None
                return Brackets(command.words, self.expander, self.now).value()
            case Arithmetic():
                return None
            case Group():
                return self.sequence(command.body)
            case Subshell():
                self.run_apart(command.body.items[0].first.line if command.body.items else 0)
                return None
            case If():
                return self._if(command, 0)
            case For():
                return self._for(command)
            case While():
                return self._while(command)
            case Case():
                return self._case(command)
            case Function():
                assert self.now is not None
                self.now.functions[command.name] = command.body
                return True

    def _condition(self, body: Body) -> Truth:
        before = self.now.last if self.now else None
        self._tested += 1
        status = self.sequence(body)
        self._tested -= 1
        if self.now is not None:
            self.now.last = before
        return status

    def _if(self, command: If, at: int) -> Truth:
        if at == len(command.branches):
            return self.sequence(command.otherwise)
        condition, body = command.branches[at]
        status = self._condition(condition)
        if self.now is None:
            return None
        if status is None:
            return self._branch(lambda: self.sequence(body), lambda: self._if(command, at + 1))
        return self.sequence(body) if status else self._if(command, at + 1)

    def _round(self, body: Callable[[], Truth], out: list[Frame]) -> None:
        """Runs a round of a loop; what breaks out of it is added to `out`."""
        self.loops.append(Loop())
        body()
        loop = self.loops.pop()
        out += loop.broken
        self.now = merge([*loop.continued, *([self.now] if self.now is not None else [])])

    def _repeat(self, body: Callable[[], Truth], out: list[Frame]) -> None:
        """Runs a loop that has any number of rounds."""
        for _ in range(_ROUNDS):
            before = self.now
            if before is None:
                return
            self.now = before.copy()
            self._round(body, out)
            after = merge([before, *([self.now] if self.now is not None else [])])
            self.now = after
            if after == before:
                return
        self.lose("has a loop that is not followed")

    def _for(self, command: For) -> Truth:
        frame = self.now
        assert frame is not None
        words = command.words
        values = frame.arguments if words is None else [each for word in words for each in self.expander.fields(frame, word)]
        out: list[Frame] = []

        def body(value: str | None) -> Callable[[], Truth]:
            def run() -> Truth:
                if self.now is not None:
                    self.now.variables[command.name] = value
                return self.sequence(command.body)

            return run

        if None in values or len(values) > _ROUNDS:
            self._repeat(body(None), out)
        else:
            for value in values:
                if self.now is None:
                    break
                self._round(body(value), out)
        self.now = merge([*out, *([self.now] if self.now is not None else [])])
        return None

    def _while(self, command: While) -> Truth:
        out: list[Frame] = []
        for _ in range(_ROUNDS):
            status = self._condition(command.condition)
            if command.until:
                status = invert(status)
            if self.now is None or status is not True:
                break
            self._round(lambda: self.sequence(command.body), out)
        else:
            self.lose("has a loop that is not followed")
            status = False

        def body() -> Truth:
            self.sequence(command.body)
            if self.now is not None:
                self._condition(command.condition)
            return None

        if status is None and self.now is not None:
            self._repeat(body, out)
        self.now = merge([*out, *([self.now] if self.now is not None else [])])
        return None

    def _case(self, command: Case) -> Truth:
        assert self.now is not None
        if command.falls:
            self.lose("has a case that falls through")
        text = self.expander.text(self.now, command.word)
        ways: list[Callable[[], Truth]] = []
        for patterns, body in command.branches:
            matched: Truth = False
            for each in patterns:
                pattern = self.expander.pattern(self.now, each)
                if pattern == "*":
                    matched = True
                elif text is None or pattern is None:
                    matched = matched or None
                elif fnmatch.fnmatchcase(text, pattern):
                    matched = True
                if matched:
                    break
            if matched is not False:
                ways.append(lambda body=body: self.sequence(body))  # type: ignore[misc]
            if matched:
                break
        else:
            ways.append(lambda: True)
        return self._branch(*ways) if len(ways) > 1 else ways[0]()

    def call(self, name: str, arguments: Sequence[str | None]) -> Truth:
        """Runs a function."""
        frame = self.now
        assert frame is not None
        body = frame.functions[name]
        if body is None or len(self.calls) >= _DEPTH:
            self.lose(f'calls the function "{name}", which is not followed')
            return None
        caller = frame.arguments
        frame.arguments = tuple(arguments)
        self.calls.append(Call())
        loops, self.loops = self.loops, []
        status = self._command(body)
        self.loops = loops
        call = self.calls.pop()
        ways = [*call.returned, *([(self.now, status)] if self.now is not None else [])]
        self.now = merge([end for end, _ in ways])
        status = ways[0][1] if ways and all(each is ways[0][1] for _, each in ways) else None
        if self.now is not None:
            self.now.arguments = caller
            for variable, (was_set, value) in call.saved.items():
                if was_set:
                    self.now.variables[variable] = value
                else:
                    self.now.variables.pop(variable, None)
        return status
