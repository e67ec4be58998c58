"""Reports a difference as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import escape, printable
from rules_setcap.diff.grouping import find_sign, format_capabilities, format_values, group_changes, list_details
from rules_setcap.diff.model import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rules_setcap.diff.model import CapabilityChange, Change, Difference, ImageDifference, LayerDifference, LayerSide

_MAX_PATHS, _MAX_SHARED, _MAX_DETAILS = 10, 3, 12


def format_report(difference: Difference, *, show_all: bool = False) -> Iterator[str]:
    """Yields the lines of the report.

    Args:
      difference: the difference.
      show_all: whether long lists are not cut.
    """
    yield format_verdict(difference)
    for sign, side in (("-", difference.before), ("+", difference.after)):
        yield f"  {sign} {escape(side.name)}" + (f"  {side.digest}" if side.digest else "")
    for note in difference.notes:
        yield f"  note: {printable(note)}"
    if difference.index:
        yield ""
        yield "index"
        yield from _format_changes(difference.index, "  ", show_all)
    for image in difference.images:
        yield from _format_image(image, _names_platforms(difference), show_all)


def format_verdict(difference: Difference) -> str:
    """Returns the result in one line."""
    ignored = sum(difference.ignored.values())
    if not difference.is_same:
        kinds = _join_words(difference.list_kinds())
        places = [place for image in difference.images if (place := _describe_place(image, _names_platforms(difference)))]
        text = f"differs: {kinds}" + (f", in {'; '.join(places)}" if places else "")
    elif difference.before.digest and difference.before.digest == difference.after.digest:
        text = "same"
    elif ignored:
        text = "same apart from what is ignored"
    else:
        text = "same image in another form"
    if ignored:
        counts = ", ".join(f"{count} {kind}" for kind, count in difference.ignored.items())
        text += f" (ignored: {counts})"
    return text


def _names_platforms(difference: Difference) -> bool:
    """Returns whether the report names the platforms of images."""
    return len(difference.images) > 1 or bool(difference.index)


def _describe_place(image: ImageDifference, named: bool) -> str:
    """Returns which layers of an image differ; "" if none does.

    Args:
      image: the difference of the image.
      named: whether the platform is named.
    """
    numbers = [f"{(layer.after or layer.before).number}{'' if layer.after else ' of the first image'}" for layer in image.layers]  # type: ignore[union-attr]
    if not numbers:
        return ""
    text = f"layer{'s' if len(numbers) > 1 else ''} {_join_words(numbers)}"
    if image.layers[-1].after:
        text += f" of {image.after.layers}"
    return f"{image.platform}: {text}" if named else text


def _format_image(image: ImageDifference, named: bool, show_all: bool) -> Iterator[str]:
    """Yields the lines about one image.

    Args:
      image: the difference of the image.
      named: whether the lines begin with the platform.
      show_all: whether long lists are not cut.
    """
    is_same = not (image.documents or image.capabilities or image.layers)
    if named:
        yield ""
        yield f"{escape(image.platform or 'image')}: {'same' if is_same else 'differs'}"
        if not is_same:
            yield f"  - {image.before.digest}"
            yield f"  + {image.after.digest}"
    for note in image.notes:
        yield f"  note: {printable(note)}"
    if image.capabilities:
        yield ""
        yield "capabilities in the merged root filesystem, which a container sees"
        yield from _cut([_format_capability_change(change) for change in image.capabilities], "  ", show_all)
    for kind in ("config", "manifest", "encoding"):
        changes = [change for change in image.documents if change.kind == kind]
        if changes:
            yield ""
            yield kind
            yield from _format_changes(changes, "  ", show_all, with_kinds=False)
    for layer in image.layers:
        yield ""
        yield from _format_layer(layer, image, show_all)


def _format_capability_change(change: CapabilityChange) -> str:
    """Returns the line about a file whose capabilities differ for a container."""
    return f"{escape(change.path)}  {' -> '.join(format_capabilities(change))}"


def _format_layer(layer: LayerDifference, image: ImageDifference, show_all: bool) -> Iterator[str]:
    """Yields the lines about a layer."""
    side = layer.after or layer.before
    assert side
    count = image.after.layers if layer.after else image.before.layers
    only = "" if layer.before and layer.after else f", only in the {'second' if layer.after else 'first'} image"
    yield f"layer {side.number} of {count}{only}"
    for sign, one in (("-", layer.before), ("+", layer.after)):
        if one:
            yield f"  {sign} {_describe_layer_side(one)}"
    yield from _format_changes(layer.changes, "  ", show_all)
    for kind, omitted in layer.omitted.items():
        yield f"  {kind}: {omitted} more changes, which were counted only"


def _describe_layer_side(side: LayerSide) -> str:
    words = [side.digest]
    if side.number and side.created_by:
        words.append(f"made by {printable(side.created_by[:100])}")
    return "  ".join(words)


def _format_changes(changes: Sequence[Change], indent: str, show_all: bool, *, with_kinds: bool = True) -> Iterator[str]:
    """Yields the lines about changes, by kind. Changes that differ only in their paths share a line.

    Args:
      changes: the changes.
      indent: the spaces before each line.
      show_all: whether long lists are not cut.
      with_kinds: whether the kinds are headings.
    """
    for kind in KINDS:
        groups = group_changes(changes, kind)
        if not groups:
            continue
        if with_kinds:
            yield indent + kind
        inner = indent + "  " if with_kinds else indent
        blocks = [_format_group(group, show_all) for group in groups]
        shown = blocks if show_all else blocks[:_MAX_PATHS]
        for block in shown:
            for line in block:
                yield inner + line
        if left := sum(map(len, groups[len(shown) :])):
            yield f"{inner}and {left} more; --all shows them"


def _format_group(group: Sequence[Change], show_all: bool) -> list[str]:
    """Returns the lines about changes that differ only in their paths."""
    change = group[0]
    field = printable(change.field)
    if len(group) == 1:
        lines = ["  ".join(filter(None, (escape(change.path), field, format_values(change))))]
    else:
        shown = len(group) if show_all else _MAX_SHARED
        paths = ", ".join(escape(one.path) for one in group[:shown])
        more = f" and {len(group) - shown} more" if len(group) > shown else ""
        what = "entries" if change.path.startswith("/") else "fields"
        lines = ["  ".join(filter(None, (field, format_values(change)))) + f": {len(group)} {what}: {paths}{more}"]
    if sign := find_sign(change):
        lines[0] = f"{sign} {lines[0]}"
    return lines + ["    " + line for line in _cut(list_details(change), "", show_all, _MAX_DETAILS)]


def _cut(lines: Sequence[str], indent: str, show_all: bool, most: int = _MAX_PATHS) -> Iterator[str]:
    """Yields the first lines of a list, and how many there are more."""
    shown = len(lines) if show_all else most
    for line in lines[:shown]:
        yield indent + line
    if len(lines) > shown:
        yield f"{indent}and {len(lines) - shown} more; --all shows them"


def _join_words(words: Iterable[str]) -> str:
    """Returns words as a list in a sentence."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
