"""Compares the capabilities of files in the merged root filesystems of two images."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.decompress import DecompressedStream, DecompressionError
from rules_setcap.archive.reader import TarError, TarReader
from rules_setcap.archive.seeking import SeekingStream
from rules_setcap.diagnostics import progress
from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.diff.model import CapabilityChange
from rules_setcap.oci.layer_reader import LayerReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_setcap.diff.sources import SourceImage, SourceLayer
    from rules_setcap.oci.image import Image


class _MergedCapabilities:
    """What is kept of a merged root filesystem, so that only one is in memory at a time.

    Attributes:
      texts: the capabilities by path.
      layers: the digest of the layer by path.
      problems: what is wrong with the capabilities, a sentence each.
    """

    def __init__(self, image: SourceImage) -> None:
        merged = _read_image(image)
        self.texts = {path: assigned.to_getcap_text() for path, assigned in merged.capabilities.items()}
        self.layers = {path: merged.layers[number].digest for path, number in merged.origin.items()}
        self.problems = merged.problems
        self._paths = {hash(path) for path, _ in merged.walk()}

    def has(self, path: str) -> bool:
        """Returns whether there is a file at the path."""
        return hash(path) in self._paths


def _read_image(image: SourceImage) -> Image:
    """Reads the merged root filesystem of an image whose layers have been verified.

    Raises:
      InputError: no engine accepts the layers.
    """
    layers, budget = LayerReader(), ReadBudget()
    try:
        for layer in image.layers:
            progress.begin_step(f"layer {layer.side.number} again", layer.side.size)
            with _open_again(layer, budget) as archive:
                layers.add_layer(archive, layer.side.digest, layer.side.size)
        return layers.build_image(
            image.platform, dict(image.config), lambda: (_open_again(layer, ReadBudget()) for layer in image.layers)
        )
    except (TarError, DecompressionError) as error:
        raise InputError([format_problem("image", image.digest, str(error))]) from None


@contextlib.contextmanager
def _open_again(layer: SourceLayer, budget: ReadBudget) -> Iterator[TarReader]:
    """Opens a layer that has been verified; what is not needed of an uncompressed one is skipped."""
    budget.add_input(layer.side.size)
    with open_regular(layer.path) as file:
        stream = DecompressedStream(file, budget)
        yield TarReader(SeekingStream(file) if stream.codec == "none" else stream, budget)


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
