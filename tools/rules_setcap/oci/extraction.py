"""Copies the contents of single entries out of layers."""

from __future__ import annotations

import os
from collections import namedtuple
from typing import TYPE_CHECKING

from rules_setcap.oci.layer_blobs import open_layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rules_setcap.archive.budget import ReadBudget
    from rules_setcap.archive.reader import Member, TarReader
    from rules_setcap.oci.layer_blobs import LayerBlob

ExtractedFile = namedtuple("ExtractedFile", ("source", "records"))
"""The content of an entry of a layer. source: str, the path of the copy; records: dict, the pax records of the entry."""


def extract_files(
    entries: Iterable[tuple[int, int]], blobs: Sequence[LayerBlob], directory: str, budget: ReadBudget
) -> dict[tuple[int, int], ExtractedFile]:
    """Copies the contents of entries. Each layer that has some of them is read once.

    Args:
      entries: the numbers of the layer and of the entry in it.
      blobs: the layers, the lowest first.
      directory: the directory of the copies.
      budget: counts what is read.

    Returns:
      The copies by layer and entry.

    Raises:
      InputError: a layer is not valid.
      OSError: a copy cannot be written.
    """
    positions: dict[int, set[int]] = {}
    for layer, entry in entries:
        positions.setdefault(layer, set()).add(entry)
    extracted = {}
    for layer in sorted(positions):
        with open_layer(blobs[layer], budget) as archive:
            for position, member in enumerate(archive):
                if position in positions[layer]:
                    output = os.path.join(directory, f"{layer}-{position}")
                    extracted[layer, position] = extract_file(archive, member, output)
    return extracted


def extract_file(archive: TarReader, member: Member, output: str) -> ExtractedFile:
    """Copies the content of an entry.

    Args:
      archive: the layer, whose last entry is `member`.
      member: the entry.
      output: the path of the copy.

    Raises:
      OSError: the copy cannot be written.
    """
    left = member.size
    with open(output, "wb") as file:
        for piece in archive.read_content():
            file.write(piece[:left])  # The last piece has padding.
            left -= min(left, len(piece))
    return ExtractedFile(output, member.records)
