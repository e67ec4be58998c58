"""Explains why images differ: how their contents do, and which actions made them so."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.diff.compare import compare_sources
from rules_setcap.diff.content.compare import compare_contents
from rules_setcap.diff.sources import open_source
from rules_setcap.reproduce import faults
from rules_setcap.reproduce.execution_log import read_commands, read_log
from rules_setcap.reproduce.log_comparison import LogComparison
from rules_setcap.reproduce.outcome import CommandChange, ExplainedFault
from rules_setcap.reproduce.traces import find_traces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.reproduce.bazel import Bazel
    from rules_setcap.reproduce.build_events import BuiltImage
    from rules_setcap.reproduce.execution_log import Command
    from rules_setcap.reproduce.outcome import ComparedImage, Outcome
    from rules_setcap.reproduce.surroundings import Surroundings

_COMMAND_CHANGES = 10  # Changes of a command that are reported.


def compare_images(image: ComparedImage, first: str, second: str) -> None:
    """Notes how an image of the first build differs from that of the second.

    Args:
      image: the image.
      first: the path of the first build's.
      second: the path of the second build's.
    """
    with contextlib.ExitStack() as stack:
        try:
            before = open_source("first build", first, stack)
            image.difference = compare_sources(before, open_source("second build", second, stack))
        except InputError as error:
            image.problems += error.problems


def explain(
    outcome: Outcome,
    bazels: tuple[Bazel, Bazel],
    surroundings: tuple[Surroundings, Surroundings],
    images: Sequence[tuple[BuiltImage, BuiltImage | None]],
) -> None:
    """Notes which runners ran the actions, and which actions are at fault.

    Args:
      outcome: the outcome, with the compared images.
      bazels: both builds.
      surroundings: their surroundings.
      images: the images of both builds.
    """
    placeholders = [_list_placeholders(each) for each in surroundings]
    try:
        logs = [read_log(bazel.log, texts) for bazel, texts in zip(bazels, placeholders, strict=True)]
    except InputError as error:
        outcome.notes += error.problems
        return
    outcome.runners = [log.list_runners() for log in logs]
    differing = {image.execution_path for image in outcome.images if not image.is_same}
    paths: dict[str, list[str]] = {}
    roots = ("", "")
    for first, second in images:
        if first.execution_path in differing and second:
            paths.setdefault(first.label, []).append(first.execution_path)
            roots = first.find_execution_root(), second.find_execution_root()
    found = faults.find_faults(LogComparison(*logs), paths)
    if len(found) > limits.FAULTS:
        outcome.notes.append(f"{len(found) - limits.FAULTS} more causes are not listed")
    commands = _read_commands(bazels, found[: limits.FAULTS])
    for fault in found[: limits.FAULTS]:
        explained = ExplainedFault(fault)
        if all(roots):
            _look_into_files(explained, (os.path.join(roots[0], fault.files[0]), os.path.join(roots[1], fault.files[0])), outcome)
        if fault.action and fault.partner:
            explained.commands = _compare_commands(commands[0][fault.action.position], commands[1][fault.partner.position])[
                :_COMMAND_CHANGES
            ]
        outcome.faults.append(explained)


def _read_commands(bazels: tuple[Bazel, Bazel], found: Sequence[faults.Fault]) -> list[dict[int, Command]]:
    """Returns the commands of the actions at fault in both builds, as they are, by position."""
    actions = (
        [fault.action for fault in found if fault.action and fault.partner],
        [fault.partner for fault in found if fault.action and fault.partner],
    )
    return [
        read_commands(bazel.log, [action.position for action in group if action])
        for bazel, group in zip(bazels, actions, strict=True)
    ]


def _look_into_files(explained: ExplainedFault, paths: tuple[str, str], outcome: Outcome) -> None:
    """Adds to a fault how a file of both builds differs."""
    try:
        explained.traces = find_traces(paths, outcome.varied)
        if all(map(os.path.isfile, paths)):
            with open_regular(paths[0]) as first, open_regular(paths[1]) as second:
                explained.content = compare_contents(os.path.basename(paths[0]), first, second)
    except OSError as error:
        outcome.notes.append(f"{explained.fault.files[0]} cannot be read: {error.strerror}")


def _compare_commands(first: Command, second: Command) -> list[CommandChange]:
    """Returns the arguments and the environment variables that differ."""
    changes = []
    for number in range(max(len(first.arguments), len(second.arguments))):
        texts = [command.arguments[number] if number < len(command.arguments) else None for command in (first, second)]
        if texts[0] != texts[1]:
            changes.append(CommandChange("argument", *texts))
    for name in sorted(first.environment.keys() | second.environment.keys()):
        texts = [command.environment.get(name) for command in (first, second)]
        if texts[0] != texts[1]:
            changes.append(CommandChange(name, *texts))
    return changes


def _list_placeholders(surroundings: Surroundings) -> dict[str, str]:
    """Returns what stands for the paths that differ by design, when commands are compared."""
    return {surroundings.output_base: "OUTPUT_BASE", surroundings.workspace: "WORKSPACE"}
