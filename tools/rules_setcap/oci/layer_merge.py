"""Applies the layers of an image one on top of the other, and returns the merged root filesystem."""

from __future__ import annotations

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.entry import DIRECTORY
from rules_setcap.archive.reader import ArchiveError
from rules_setcap.archive.records import XATTR
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, problem
from rules_setcap.oci.engines.comparison import DECISIVE_RECORDS, shorten_entries, unpack_by_engines
from rules_setcap.oci.layer_blobs import open_layer
from rules_setcap.oci.root_filesystem import RootFilesystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable, Iterator, Sequence

    from rules_setcap.archive.reader import Archive, Member
    from rules_setcap.oci.layer_blobs import LayerBlob

    Inspect = Callable[[Archive, int], Iterable[Member]]


def merge_layers(blobs: Sequence[LayerBlob], work: ReadBudget) -> RootFilesystem:
    """Returns the merged root filesystem of an image, as the first engine that accepts the layers unpacks it.

    Files keep only the extended attributes that decide about capabilities; see drop_unused_records().

    Args:
      blobs: the layers, the lowest first.
      work: counts what is read.

    Raises:
      InputError: a blob is not a valid layer, or does not agree with its descriptor.
    """
    return unpack_if_engines_differ(apply_layers(blobs, work), blobs, first=True)[0]


def apply_layers(blobs: Sequence[LayerBlob], work: ReadBudget, inspect: Inspect | None = None) -> RootFilesystem:
    """Returns the merged root filesystem by the rules about which container engines agree.

    Args:
      blobs: the layers, the lowest first.
      work: counts what is read.
      inspect: gets each layer and its number, and yields its entries; it may read their content. None to read none.

    Raises:
      InputError: a blob is not a valid layer, or does not agree with its descriptor.
    """
    root = RootFilesystem()
    for number, blob in enumerate(blobs):
        with open_layer(blob, work) as archive:
            members = inspect(archive, number) if inspect else archive
            root.apply_layer(drop_unused_records(members, work), number, blob.descriptor["size"])
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
    layers, work = [], ReadBudget()
    for blob in blobs:
        with open_layer(blob, work) as archive:
            layers.append(shorten_entries(drop_unused_records(archive, work)))
    try:
        unpacked, differences = unpack_by_engines(layers, first=first)
    except ArchiveError as error:
        raise InputError([problem("base", blobs[0].place, str(error))]) from None
    return unpacked, [difference.path for difference in differences]


def drop_unused_records(members: Iterable[Member], work: ReadBudget) -> Iterator[Member]:
    """Yields the entries of a layer without the pax records that are not used.

    The extended attributes of an entry can take 1 MiB. Those of directories are kept, because a layer that repeats a
    directory repeats them. Of files, only those that decide about capabilities are kept, because an action that copies a
    file reads its entry again.

    Args:
      members: the entries.
      work: counts the memory of what is kept.
    """
    for member in members:
        if member.type == DIRECTORY:
            member.records = {name: value for name, value in member.records.items() if name.startswith(XATTR)}
        else:
            kept = DECISIVE_RECORDS if member.records else ()
            member.records = {name: value[: limits.CAPABILITY] for name, value in member.records.items() if name.startswith(kept)}
        if member.records:
            work.spend_memory(sum(len(name) + 3 * len(value) + 200 for name, value in member.records.items()))
        yield member
