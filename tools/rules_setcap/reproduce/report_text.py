"""Writes the outcome as text: the verdict, the images, the actions at fault, and what was varied."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import escape, printable, quote
from rules_setcap.diff.report_text import format_report, format_verdict
from rules_setcap.reproduce import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_setcap.diff.model import Difference
    from rules_setcap.reproduce.outcome import ComparedImage, ExplainedFault, Outcome

_FILES = 5  # Files of a fault, and actions that read one, that are listed.


def format_outcome(outcome: Outcome, *, show_all: bool = False) -> str:
    """Returns the report, with a line end after each line.

    Args:
      outcome: the outcome.
      show_all: whether long lists of changes are not cut.
    """
    lines = [_format_verdict(outcome), *_list_images(outcome)]
    for image in outcome.images:
        if image.difference:
            lines += ["", *_list_difference(image, image.difference, show_all)]
    for number, fault in enumerate(outcome.faults, 1):
        lines += ["", *_list_fault(fault, number, len(outcome.images))]
    if not outcome.is_reproducible and not outcome.faults:
        lines += ["", "The action that made the difference was not found in the execution logs."]
    lines += ["", *_list_variations(outcome)]
    lines += ["", *(f"note: {printable(note)}" for note in outcome.notes)] if outcome.notes else []
    return "".join(f"{line}\n" for line in lines)


def _format_verdict(outcome: Outcome) -> str:
    count, differing = len(outcome.images), sum(not image.is_same for image in outcome.images)
    images = "1 image" if count == 1 else f"{count} images"
    if not differing:
        return f"reproducible: {images}, built twice with {len(outcome.varied)} variations"
    return f"not reproducible: {differing} of {images}"


def _list_images(outcome: Outcome) -> Iterator[str]:
    for image in outcome.images:
        yield f"  {'same   ' if image.is_same else 'differs'}  {escape(image.label)}  {_format_digests(image)}"
        for problem in image.problems:
            yield f"           {printable(problem)}"


def _list_difference(image: ComparedImage, difference: Difference, show_all: bool) -> Iterator[str]:
    """Yields the difference of an image, without the digests, which the list of images has."""
    yield f"{escape(image.label)} {format_verdict(difference)}"
    for line in list(format_report(difference, show_all=show_all))[3:]:
        yield f"  {line}" if line else ""


def _format_digests(image: ComparedImage) -> str:
    if image.is_same:
        return image.first
    if image.first == image.second:
        return f"{image.first} in both builds, but its files differ"
    return f"{image.first or 'none'} -> {image.second or 'none'}"


def _list_fault(explained: ExplainedFault, number: int, images: int) -> Iterator[str]:
    """Yields the lines about the place where the builds parted."""
    fault = explained.fault
    action = fault.action or (fault.readers[0] if fault.readers else None)
    if fault.reason == faults.FILE:
        yield f"cause {number}: {_describe_file(fault.files[0])}"
    elif action:
        yield f"cause {number}: action {escape(action.mnemonic)} of {escape(action.label)}: {_REASONS[fault.reason]}"
    for path in fault.files[:_FILES]:
        yield f"  {'file':<12}{escape(path)}"
    if len(fault.files) > _FILES:
        yield f"  {'':<12}... and {len(fault.files) - _FILES} more"
    if fault.partner and fault.action:
        yield f"  {'ran as':<12}{fault.action.runner or '-'}, then {fault.partner.runner or '-'}"
    for reader in fault.readers[:_FILES]:
        yield f"  {'read by':<12}{escape(reader.mnemonic)} of {escape(reader.label)}"
    for change in explained.commands:
        name = "argument" if change.what == "argument" else f"variable {escape(change.what)}"
        yield f"  {'command':<12}{name}: {_quote(change.first)} -> {_quote(change.second)}"
    for name, value in explained.traces:
        yield f"  {'contains':<12}{quote(value)}, which the variation {name} changes"
    if explained.content:
        yield f"  {'difference':<12}{printable(explained.content.type)}: {printable(explained.content.summary)}"
        for cause in explained.content.causes:
            yield f"  {'':<12}probably: {printable(cause)}"
    yield f"  {'reaches':<12}{', '.join(map(escape, fault.images))}" + (
        f" ({len(fault.images)} of {images} images)" if images > 1 else ""
    )
    if action:
        yield f"  {'look closer':<12}{_format_query(fault.files[0] if fault.action else action.outputs[0].path, fault.images[0])}"


_REASONS = {
    faults.EQUAL: "equal inputs, the same command, other outputs",
    faults.COMMAND: "equal inputs, another command, other outputs",
    faults.MISSING: "it ran in the first build only",
}


def _describe_file(path: str) -> str:
    """Returns what a file is that differs and that no action in the log made."""
    if path.startswith("external/"):
        return f"a file of the repository {escape(path.split('/')[1])}, which differs from fetch to fetch"
    if path.endswith(("stable-status.txt", "volatile-status.txt")):
        return "the workspace status, which actions with --stamp read"
    if path.startswith("bazel-out/"):
        return "a file that Bazel wrote itself"
    return "a source file, which differs in the second build"


def _quote(text: str | None) -> str:
    return "none" if text is None else quote(text)


def _format_query(path: str, image: str) -> str:
    """Returns the command that prints the action that makes a file of an image."""
    pattern = re.sub(r"[^\w/.~@=-]", lambda match: f"[{match[0]}]", path)  # The argument of outputs() is a regular expression.
    expression = f'outputs("{pattern}", deps({image}))'
    return f"bazel aquery --include_param_files {shlex.quote(expression)}"


def _list_variations(outcome: Outcome) -> Iterator[str]:
    """Yields a table of what was varied, and the reasons why the rest was not."""
    yield f"varied ({outcome.bazel}):"
    for varied in outcome.varied:
        yield f"  {varied.name:<12}{printable(varied.first)} -> {printable(varied.second)}"
    for name, counts in zip(("first", "second"), outcome.runners, strict=False):
        actions = ", ".join(f"{count} {escape(runner)}" for runner, count in counts.items())
        yield f"  {name + ' ran':<12}{actions or 'no action'}"
    if outcome.not_varied:
        yield "not varied:"
        for left in outcome.not_varied:
            yield f"  {left.name:<12}{printable(left.reason)}"
