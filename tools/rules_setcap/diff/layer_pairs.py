"""Pairs the layers of two images."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.diff.sources import SourceLayer

    Pairs = list[tuple[int | None, int | None]]


def pair_layers(before: Sequence[SourceLayer], after: Sequence[SourceLayer]) -> Pairs:
    """Returns which layers are compared with each other, as positions from 0, in the order of the second image.

    Layers with the same tar are paired first. Of the others between two such pairs, those that were made by the same command
    are paired, and then those at the same position.
    """
    pairs: Pairs = []
    left, right = ([layer.side.diff_id for layer in layers] for layers in (before, after))
    for tag, start, end, other_start, other_end in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if tag == "equal" or end - start == other_end - other_start:
            pairs += zip(range(start, end), range(other_start, other_end), strict=True)
        else:
            pairs += _pair_by_command(before, after, range(start, end), range(other_start, other_end))
    return pairs


def _pair_by_command(before: Sequence[SourceLayer], after: Sequence[SourceLayer], left: range, right: range) -> Pairs:
    """Returns the pairs of two blocks of different lengths, as pair_layers() does."""
    pairs: Pairs = []
    left_commands, right_commands = (
        [layers[number].side.created_by or f"unknown {side}" for number in numbers]
        for side, (layers, numbers) in enumerate(((before, left), (after, right)))
    )
    for tag, start, end, other_start, other_end in SequenceMatcher(
        None, left_commands, right_commands, autojunk=False
    ).get_opcodes():
        common = end - start if tag == "equal" else min(end - start, other_end - other_start)
        pairs += zip(left[start : start + common], right[other_start : other_start + common], strict=True)
        pairs += [(number, None) for number in left[start + common : end]]
        pairs += [(None, number) for number in right[other_start + common : other_end]]
    return pairs


def join_moved_layers(pairs: Pairs, before: Sequence[SourceLayer], after: Sequence[SourceLayer]) -> tuple[Pairs, set[int]]:
    """Pairs the layers that both images have in different places.

    Args:
      pairs: the result of pair_layers().
      before: the layers of the first image.
      after: the layers of the second image.

    Returns:
      The pairs, and the positions of these layers in the second image.
    """
    unpaired: dict[str, list[int]] = {}
    for left, right in pairs:
        if left is not None and right is None:
            unpaired.setdefault(before[left].side.diff_id, []).append(left)
    origins: dict[int, int] = {}  # The position in the first image by the position in the second.
    for left, right in pairs:
        if left is None and right is not None and (places := unpaired.get(after[right].side.diff_id)):
            origins[right] = places.pop(0)
    moved = {*origins.values()}
    joined: Pairs = []
    for left, right in pairs:
        if left is None and right is not None:
            joined.append((origins.get(right), right))
        elif right is not None or left not in moved:
            joined.append((left, right))
    return joined, {*origins}
