"""Copies files of lower layers, so that they can be packed with other capabilities, as `RUN setcap` does in a Dockerfile."""

from __future__ import annotations

import os
from collections import namedtuple
from typing import TYPE_CHECKING

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.entry import FILE, SYMLINK, Entry
from rules_setcap.archive.records import CAPABILITY_RECORD, XATTR
from rules_setcap.oci import layer_blobs, layer_merge
from rules_setcap.packer.assignments import describe_link, find_fault
from rules_setcap.packer.unmatched_paths import describe_unmatched_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rules_setcap.diagnostics.problems import Problems
    from rules_setcap.oci.nodes import Node
    from rules_setcap.oci.root_filesystem import RootFilesystem
    from rules_setcap.packer.assignments import Assignment

LowerFiles = namedtuple("LowerFiles", ("entries", "assignments", "located"))
"""Files of lower layers that have been copied. entries: dict of path to Entry, the files and their parent directories;
assignments: list of Assignment, with the paths of the entries; located: dict of str to str, the path of an entry by the
path that file_capabilities has for it."""


def copy_lower_files(
    assignments: Iterable[Assignment], blobs: Sequence[layer_blobs.LayerBlob], directory: str, problems: Problems
) -> LowerFiles:
    """Copies the files that assignments name, each with its owner, mode and other extended attributes.

    Args:
      assignments: the assignments, from parse_assignments().
      blobs: the lower layers, the lowest first.
      directory: an empty directory, into which the contents of the files are written.
      problems: the collector of problems: paths that match no file, or a file that cannot have capabilities.

    Raises:
      InputError: a layer is not valid.
      OSError: a file cannot be written.
    """
    read_budget = ReadBudget(blobs=True)
    tree = layer_merge.merge_layers(blobs, read_budget)
    nodes: dict[str, Node] = {}
    moved: list[Assignment] = []
    located: dict[str, str] = {}
    for assignment in assignments:
        try:
            match = tree.find_node(assignment.path)
        except ValueError as error:
            problems.add(assignment.attribute, assignment.path, str(error))
            continue
        if match is None:
            files = [path for path, node in tree.walk() if node.type == FILE]
            problems.add(assignment.attribute, assignment.path, describe_unmatched_file(assignment.path, files))
            continue
        path, node = match
        if fault := _find_fault(path, node, tree):
            problems.add(assignment.attribute, assignment.path, fault)
            continue
        nodes[path] = node
        located[assignment.path] = path
        moved.append(assignment.move(path))
    entries = _extract_files(nodes, blobs, directory, read_budget)
    for path in nodes:
        while (path := path.rpartition("/")[0]) and path not in entries:
            if match := tree.find_node(path):
                node = match[1]
                entries[path] = _make_entry(path, node, "", {XATTR + name: value for name, value in node.xattrs.items()})
    return LowerFiles(entries, moved, located)


def _find_fault(path: str, node: Node, tree: RootFilesystem) -> str:
    """Returns why a file of a lower layer cannot be copied with capabilities; "" if it can."""
    if node.type == SYMLINK:
        return describe_link(path, lambda link: _find_link_target(tree, link))
    # The attribute modes may change the mode, which assign_capabilities() checks afterwards.
    if fault := find_fault(node.type, 0o111, None):
        return fault
    return "a sparse file of tar, which cannot be copied" if node.sparse else ""


def _find_link_target(tree: RootFilesystem, path: str) -> str | None:
    """Returns the target of the symbolic link at a path; None if there is no symbolic link."""
    try:
        match = tree.find_node(path)
    except ValueError:
        return None
    return match[1].link if match and match[1].type == SYMLINK else None


def _extract_files(
    nodes: Mapping[str, Node], blobs: Sequence[layer_blobs.LayerBlob], directory: str, read_budget: ReadBudget
) -> dict[str, Entry]:
    """Writes the contents of files to `directory`. Each layer that has some of them is read once more.

    Args:
      nodes: the files by path.
      blobs: the lower layers, the lowest first.
      directory: an empty directory.
      read_budget: the limit of the work.

    Returns:
      The entries by path.
    """
    entries: dict[str, Entry] = {}
    for number, blob in enumerate(blobs):
        paths: dict[int, list[str]] = {}  # By position in the layer. Hard links share one.
        for path, node in nodes.items():
            if node.layer == number:
                paths.setdefault(node.entry, []).append(path)
        if not paths:
            continue
        with layer_blobs.open_layer(blob, read_budget) as archive:
            for position, member in enumerate(archive):
                if position not in paths:
                    continue
                source = os.path.join(directory, str(len(entries)))
                left = member.size
                with open(source, "wb") as file:
                    for piece in archive.read_content():
                        file.write(piece[:left])
                        left -= min(left, len(piece))
                for path in paths[position]:
                    entries[path] = _make_entry(path, nodes[path], source, member.records)
    return entries


def _make_entry(path: str, node: Node, source: str, records: Mapping[bytes, bytes]) -> Entry:
    """Returns an entry like that of a lower layer, but without its capabilities."""
    xattr_records = {name: value for name, value in records.items() if name.startswith(XATTR) and name != CAPABILITY_RECORD}
    xattrs = [(name[len(XATTR) :].decode("utf-8", "surrogateescape"), value) for name, value in xattr_records.items()]
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
