"""Copies files of the layers below with other capabilities, as `RUN setcap` does to a base image."""

from __future__ import annotations

import os

from rules_setcap.archive.entry import FILE, SYMLINK, Entry
from rules_setcap.archive.records import CAPABILITY_RECORD, XATTR
from rules_setcap.archive.budget import ReadBudget
from rules_setcap.diagnostics.errors import problem
from rules_setcap.oci import lower_layers
from rules_setcap.packer.assignments import describe_link, unfit
from rules_setcap.packer.entries import no_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Mapping, Sequence

    from rules_setcap.oci.nodes import Node
    from rules_setcap.oci.rootfs import Tree
    from rules_setcap.packer.assignments import Grant


def find(
    grants: Iterable[Grant], blobs: Sequence[lower_layers.Blob], directory: str, problems: list[str]
) -> tuple[dict[str, Entry], list[Grant], dict[str, str]]:
    """Finds the files that grants name, and reads each with its owner, mode and other extended attributes.

    Args:
      grants: from grants.parse().
      blobs: the layers, the lowest first.
      directory: where to put the files' content; it is there and empty.
      problems: list to which paths are added that lead nowhere, or to what cannot carry capabilities.

    Returns:
      The entries by path, with the directories that lead to them; the grants with the paths of the entries, symbolic
      links followed; and these paths by those of the grants.

    Raises:
      InputError: a layer is not what it is to be.
      OSError: the content cannot be written.
    """
    work = ReadBudget(blobs=True)
    tree = lower_layers.tree(blobs, work)
    found: dict[str, Node] = {}
    moved: list[Grant] = []
    places: dict[str, str] = {}
    for grant in grants:
        try:
            place = tree.find(grant.path)
        except ValueError as error:
            problems.append(problem(grant.attribute, grant.path, str(error)))
            continue
        if place is None:
            problems.append(problem(grant.attribute, grant.path, no_path(grant.path, [name for name, node in tree.walk() if node.type == FILE])))
            continue
        path, node = place
        # `modes` may change the mode, which grants.resolve() checks afterwards.
        fault = describe_link(path, lambda at: _target(tree, at)) if node.type == SYMLINK else unfit(node.type, 0o111, None)
        if not fault and node.sparse:
            fault = "a sparse file of tar, which cannot be copied"
        if fault:
            problems.append(problem(grant.attribute, grant.path, fault))
            continue
        found[path] = node
        places[grant.path] = path
        moved.append(grant._replace(path=path))
    entries = _extract(found, blobs, directory, work)
    for path in found:
        while (path := path.rpartition("/")[0]) and path not in entries:
            if place := tree.find(path):
                node = place[1]
                entries[path] = _entry(path, node, "", {XATTR + name: value for name, value in node.xattrs.items()})
    return entries, moved, places


def _target(tree: Tree, path: str) -> str | None:
    """Returns the target of a symbolic link; None if there is none at the path."""
    try:
        place = tree.find(path)
    except ValueError:
        return None
    return place[1].link if place and place[1].type == SYMLINK else None


def _extract(found: dict[str, Node], blobs: Sequence[lower_layers.Blob], directory: str, work: ReadBudget) -> dict[str, Entry]:
    """Writes the content of files to `directory`; each layer that has some is read once more."""
    entries: dict[str, Entry] = {}
    for number, blob in enumerate(blobs):
        wanted = {node.entry: (path, node) for path, node in found.items() if node.layer == number}
        if not wanted:
            continue
        with lower_layers.entries(blob, work) as archive:
            for at, member in enumerate(archive):
                if at not in wanted:
                    continue
                source = os.path.join(directory, str(len(entries)))
                left = member.size
                with open(source, "wb") as file:
                    for piece in archive.content():
                        file.write(piece[:left])
                        left -= min(left, len(piece))
                for path, node in found.items():
                    if (node.layer, node.entry) == (number, at):
                        entries[path] = _entry(path, node, source, member.records)
    return entries


def _entry(path: str, node: Node, source: str, records: Mapping[bytes, bytes]) -> Entry:
    """Returns an entry like one of the layers below, but for its capabilities."""
    named = {name: value for name, value in records.items() if name.startswith(XATTR) and name != CAPABILITY_RECORD}
    xattrs = [(name[len(XATTR) :].decode("utf-8", "surrogateescape"), value) for name, value in named.items()]
    return Entry(
        path,
        node.type,
        source=source,
        mode=node.mode,
        uid=node.uid,
        gid=node.gid,
        size=node.size,
        xattrs=tuple(sorted(xattrs)),
        attribute="base",
    )
