"""Unpacks an image by the rules of every container engine, and compares the capabilities of files."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import FILE
from rules_setcap.archive.reader import TarError
from rules_setcap.archive.records import CAPABILITY, CAPABILITY_RECORD, OVERLAY, XATTR
from rules_setcap.diagnostics.errors import quote
from rules_setcap.oci.engines.table import ENGINES
from rules_setcap.oci.nodes import DEVICE, FilesystemBudget, check_entry_path, walk_nodes
from rules_setcap.oci.root_filesystem import RootFilesystem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rules_setcap.archive.reader import Member
    from rules_setcap.oci.nodes import DirectoryNode

REFUSED = b"refused"
"""Stands for the capabilities of a file in an image that an engine refuses; no attribute has this value."""

CapabilityDifference = namedtuple("CapabilityDifference", ("path", "values"))
"""A file that has different capabilities in different engines.

path: str. values: by name of an engine, the bytes of the attribute, None without the attribute, or REFUSED."""

DECISIVE_RECORDS = (CAPABILITY_RECORD, OVERLAY)
"""The prefixes of the pax records that decide which files have which capabilities."""

_NO_RECORDS: dict[bytes, bytes] = {}


def shorten_entries(members: Iterable[Member], kept: tuple[bytes, ...] = (XATTR,)) -> list[Member]:
    """Returns the entries of a layer without the parts that unpacking does not need.

    Args:
      members: the entries.
      kept: the prefixes of the names of the pax records to keep.

    Raises:
      TarError: every engine refuses an entry.
    """
    entries = []
    for member in members:
        check_entry_path(member)
        member.before = member.extended = member.extension = b""
        if member.type != DEVICE:
            member.header = b""
        member.records = (
            {name: value for name, value in member.records.items() if name.startswith(kept)} if member.records else _NO_RECORDS
        )
        entries.append(member)
    return entries


def unpack_by_engines(
    layers: Sequence[Sequence[Member]], *, first: bool = False
) -> tuple[RootFilesystem, list[CapabilityDifference]]:
    """Unpacks an image by the rules of every engine.

    Args:
      layers: the entries of each layer from shorten_entries(), the lowest layer first.
      first: whether to stop at the first engine that accepts the image.

    Returns:
      The root filesystem of the first engine that accepts the image, and the files that have other capabilities in other
      engines, none if `first`.

    Raises:
      TarError: every engine refuses the image.
    """
    budget = FilesystemBudget()
    reference: RootFilesystem | None = None
    capabilities: dict[str, dict[str, bytes]] = {}  # By engine and path.
    refusals: dict[str, tuple[str, str]] = {}  # By engine, the path of the entry and the reason.
    for name in ENGINES:
        root = _unpack_by_engine(name, layers, budget, refusals)
        if root is None:
            continue
        if first:
            return RootFilesystem(root), []
        capabilities[name] = {
            path: node.xattrs[CAPABILITY] for path, node in walk_nodes(root) if node.type == FILE and CAPABILITY in node.xattrs
        }
        reference = reference or RootFilesystem(root)
        del root  # Frees its memory before the next engine unpacks.
    if reference is None:
        path, reason = next(iter(refusals.values()))
        raise TarError(f"{quote(path)}: every engine refuses the layer: {reason}")
    return reference, compare_capabilities(capabilities, refusals, _find_refused_paths(layers, refusals))


def compare_capabilities(
    capabilities: Mapping[str, Mapping[str, bytes]], refusals: Mapping[str, object], refused_paths: Iterable[str] = ()
) -> list[CapabilityDifference]:
    """Compares the capabilities that files have in different engines.

    Args:
      capabilities: by engine and path, the attributes of files.
      refusals: the engines that refuse the image.
      refused_paths: the paths of the files because of which they refuse it.

    Returns:
      The differences, sorted by path.
    """
    differences = []
    for path in sorted({path for attributes in capabilities.values() for path in attributes}):
        values = {name: attributes.get(path) for name, attributes in capabilities.items()}
        if len(set(values.values())) > 1 or (refusals and path in refused_paths):
            differences.append(
                CapabilityDifference(path, {name: REFUSED if name in refusals else values[name] for name in ENGINES})
            )
    return differences


def _unpack_by_engine(
    name: str, layers: Sequence[Sequence[Member]], budget: FilesystemBudget, refusals: dict[str, tuple[str, str]]
) -> DirectoryNode | None:
    """Returns the root directory that one engine unpacks; None if the engine refuses the image, which is added to `refusals`."""
    unpacker = ENGINES[name](budget)
    for members in layers:
        unpacker.begin_layer()
        for number, member in enumerate(members):
            unpacker.add_entry(member, number)
        unpacker.end_layer()
    if unpacker.refusal:
        refusals[name] = unpacker.refusal
        return None
    return unpacker.merge_layers()


def _find_refused_paths(layers: Sequence[Sequence[Member]], refusals: Mapping[str, tuple[str, str]]) -> set[str]:
    """Returns the paths of the entries that engines refuse, and of the files to which these entries link."""
    refused = {path for path, _ in refusals.values()}
    paths = set(refused)
    for members in layers:
        paths.update(member.link for member in members if member.path in refused)
    return paths
