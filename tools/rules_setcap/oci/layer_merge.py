"""Applies the layers of an image one on top of the other, and returns the merged root filesystem."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.entry import DIRECTORY
from rules_setcap.archive.reader import TarError
from rules_setcap.archive.records import XATTR
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.oci.engines.comparison import DECISIVE_RECORDS, shorten_entries, unpack_by_engines
from rules_setcap.oci.layer_blobs import open_layer, open_layers
from rules_setcap.oci.root_filesystem import RootFilesystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rules_setcap.archive.reader import Member, TarReader
    from rules_setcap.oci.layer_blobs import LayerBlob

    Inspect = Callable[[TarReader, int], Iterable[Member]]


def merge_layers(blobs: Sequence[LayerBlob], budget: ReadBudget) -> RootFilesystem:
    """Returns the merged root filesystem of an image, as the first engine that accepts the layers unpacks it.

    Files keep only the extended attributes that decide about capabilities; see drop_unused_records().

    Args:
      blobs: the layers, the lowest first.
      budget: counts what is read.

    Raises:
      InputError: a blob is not a valid layer, or does not agree with its descriptor.
    """
    return unpack_if_engines_differ(apply_layers(blobs, budget), blobs, first=True)[0]


def apply_layers(
    blobs: Sequence[LayerBlob], budget: ReadBudget, inspect: Inspect | None = None, *, layers_ahead: int = 0
) -> RootFilesystem:
    """Returns the merged root filesystem by the rules about which container engines agree.

    Args:
      blobs: the layers, the lowest first.
      budget: counts what is read.
      inspect: gets each layer and its number, and yields its entries; it may read their content. None to read none.
      layers_ahead: the number of layers that are decompressed ahead, as for open_layers().

    Raises:
      InputError: a blob is not a valid layer, or does not agree with its descriptor.
    """
    root = RootFilesystem()
    with contextlib.closing(open_layers(blobs, budget, layers_ahead)) as layers:
        for number, (blob, layer) in enumerate(zip(blobs, layers, strict=True)):
            with layer as archive:
                members = inspect(archive, number) if inspect else archive
                root.apply_layer(drop_unused_records(members, budget), number, blob.descriptor["size"])
    return root


def unpack_if_engines_differ(
    root: RootFilesystem, blobs: Sequence[LayerBlob], *, first: bool = False
) -> tuple[RootFilesystem, list[str]]:
    """Unpacks the layers by the rules of each container engine if engines may differ about them.

    Args:
      root: the result of apply_layers(); it is returned if engines do not differ.
      blobs: the layers, the lowest first.
      first: whether the first engine that accepts the layers is enough, so that engines are not compared.

    Returns:
      The root filesystem that containerd unpacks, or the first engine that accepts the layers; and the paths of files that
      have different capabilities in other engines, none if `first`.

    Raises:
      InputError: no engine accepts the layers.
    """
    if not root.engines_may_differ:
        return root, []
    layers, budget = [], ReadBudget()
    for blob in blobs:
        with open_layer(blob, budget) as archive:
            layers.append(shorten_entries(drop_unused_records(archive, budget)))
    try:
        unpacked, differences = unpack_by_engines(layers, first=first)
    except TarError as error:
        raise InputError([format_problem("base", blobs[0].place, str(error))]) from None
    return unpacked, [difference.path for difference in differences]


def drop_unused_records(members: Iterable[Member], budget: ReadBudget) -> Iterator[Member]:
    """Yields the entries of a layer without the pax records that are not used.

    The extended attributes of an entry can take 1 MiB. Those of directories are kept, because a layer that repeats a
    directory repeats them. Files keep only those that decide about capabilities, because an action that copies a file reads
    its entry again.

    Args:
      members: the entries.
      budget: counts the memory of what is kept.
    """
    for member in members:
        if member.type == DIRECTORY:
            member.records = {name: value for name, value in member.records.items() if name.startswith(XATTR)}
        else:
            kept = DECISIVE_RECORDS if member.records else ()
            member.records = {name: value[: limits.CAPABILITY] for name, value in member.records.items() if name.startswith(kept)}
        if member.records:
            budget.spend_memory(sum(len(name) + 3 * len(value) + 200 for name, value in member.records.items()))
        yield member
