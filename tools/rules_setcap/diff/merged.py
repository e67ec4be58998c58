"""Compares the capabilities of files in the merged root filesystems of two images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diff.entries import describe_capabilities
from rules_setcap.diff.model import CapabilityChange

if TYPE_CHECKING:
    from rules_setcap.diff.sources import SourceImage


class _MergedCapabilities:
    """What is kept of a merged root filesystem, so that only one is in memory at a time.

    Attributes:
      texts: the capabilities by path.
      layers: the digest of the layer by path.
      problems: what is wrong with the capabilities, a sentence each.
    """

    def __init__(self, image: SourceImage) -> None:
        merged = image.read_merged()
        self.texts = {path: describe_capabilities(assigned) for path, assigned in merged.capabilities.items()}
        self.layers = {path: merged.layers[number].digest for path, number in merged.origin.items()}
        self.problems = merged.problems
        self._paths = {hash(path) for path, _ in merged.walk()}

    def has(self, path: str) -> bool:
        """Returns whether there is a file at the path."""
        return hash(path) in self._paths


def compare_merged(before: SourceImage, after: SourceImage, notes: list[str]) -> tuple[CapabilityChange, ...]:
    """Returns the files whose capabilities a container sees differently.

    Args:
      before: the first image.
      after: the second image.
      notes: a list to which the problems of the capabilities of only one image are added.

    Raises:
      InputError: an image is not valid.
    """
    left, right = _MergedCapabilities(before), _MergedCapabilities(after)
    for which, problems, others in (("first", left.problems, right.problems), ("second", right.problems, left.problems)):
        notes += [f"in the {which} image: {problem}" for problem in problems if problem not in others]
    return tuple(
        CapabilityChange(
            path,
            left.texts.get(path),
            right.texts.get(path),
            left.has(path),
            right.has(path),
            right.layers.get(path) or left.layers.get(path, ""),
        )
        for path in sorted({*left.texts, *right.texts})
        if left.texts.get(path) != right.texts.get(path)
    )
