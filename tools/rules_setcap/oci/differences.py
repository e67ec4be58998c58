"""What container engines make of an image about which they may differ."""

from __future__ import annotations

from collections import namedtuple

from rules_setcap.archive.entry import FILE
from rules_setcap.archive.reader import ArchiveError
from rules_setcap.archive.records import CAPABILITY, OVERLAY, XATTR
from rules_setcap.diagnostics.errors import quote
from rules_setcap.oci.engines import ENGINES
from rules_setcap.oci.nodes import DEVICE, Budget, check_path, walk
from rules_setcap.oci.rootfs import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Mapping, Sequence

    from rules_setcap.archive.reader import Member
    from rules_setcap.oci.nodes import Directory

REFUSED = b"refused"
"""Stands for the capabilities of a file in an image that an engine refuses; no attribute has this value."""

Difference = namedtuple("Difference", ("path", "values"))
"""A file that has different capabilities in different engines.

path: str. values: dict by name of engine; bytes of the attribute, None without one, or REFUSED."""

_NONE: dict[bytes, bytes] = {}
DECISIVE = (XATTR + CAPABILITY, OVERLAY)
"""The records that decide which files have which capabilities."""


def brief(members: Iterable[Member], kept: tuple[bytes, ...] = (XATTR,)) -> list[Member]:
    """Returns the entries of a layer, without what unpacking them does not need.

    Args:
      members: the entries.
      kept: the beginnings of the names of pax records that are kept.

    Raises:
      ArchiveError: an entry is one that every engine refuses.
    """
    entries = []
    for member in members:
        check_path(member)
        member.before = member.extended = member.extension = b""
        if member.type != DEVICE:
            member.header = b""
        member.records = {name: value for name, value in member.records.items() if name.startswith(kept)} if member.records else _NONE
        entries.append(member)
    return entries


def unpack(layers: Sequence[Sequence[Member]], *, first: bool = False) -> tuple[Tree, list[Difference]]:
    """Unpacks an image by the rules of every engine.

    Args:
      layers: the entries of each, the lowest first, from brief().
      first: whether the first engine that takes the image is enough.

    Returns:
      The root filesystem of the first engine that takes the image, and what is different in others.

    Raises:
      ArchiveError: every engine refuses the image.
    """
    budget = Budget()
    reference: Tree | None = None
    found: dict[str, dict[str, bytes]] = {}
    refused: dict[str, tuple[str, str]] = {}
    for name in ENGINES:
        root = _unpack(name, layers, budget, refused)
        if root is None:
            continue
        if first:
            return Tree(root), []
        found[name] = {path: node.xattrs[CAPABILITY] for path, node in walk(root) if node.type == FILE and CAPABILITY in node.xattrs}
        reference = reference or Tree(root)
        del root  # Its memory is for the next.
    if reference is None:
        path, reason = next(iter(refused.values()))
        raise ArchiveError(f"{quote(path)}: every engine refuses the layer: {reason}")
    return reference, compare(found, refused, _depending(layers, refused))


def _unpack(name: str, layers: Sequence[Sequence[Member]], budget: Budget, refused: dict[str, tuple[str, str]]) -> Directory | None:
    """Returns the root directory that one engine unpacks; None if it refuses the image, which is added to `refused`."""
    engine = ENGINES[name](budget)
    for members in layers:
        engine.begin()
        for number, member in enumerate(members):
            engine.add(member, number)
        engine.end()
    if engine.refused:
        refused[name] = engine.refused
        return None
    return engine.root()


def compare(found: Mapping[str, Mapping[str, bytes]], refused: Mapping[str, object], depending: Iterable[str] = ()) -> list[Difference]:
    """Compares the capabilities of files in different engines.

    Args:
      found: by engine, the attributes by path.
      refused: engines that refuse the image.
      depending: paths on which the refusal depends.

    Returns:
      What is different, sorted by path.
    """
    paths = {path for capabilities in found.values() for path in capabilities}
    differences = []
    for path in sorted(paths):
        values = {name: capabilities.get(path) for name, capabilities in found.items()}
        if len(set(values.values())) > 1 or refused and path in depending:
            differences.append(Difference(path, {name: REFUSED if name in refused else values[name] for name in ENGINES}))
    return differences


def _depending(layers: Sequence[Sequence[Member]], refused: Mapping[str, tuple[str, str]]) -> set[str]:
    """Returns the paths of files that an engine does not have because it refuses their entries, or links to them."""
    refusals = {path for path, _ in refused.values()}
    paths = set(refusals)
    for members in layers:
        paths.update(member.link for member in members if member.path in refusals)
    return paths
