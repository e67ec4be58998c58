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
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rules_setcap.archive.reader import Member, TarReader
    from rules_setcap.diagnostics.problems import Problems
    from rules_setcap.oci.nodes import Node
    from rules_setcap.oci.root_filesystem import RootFilesystem
    from rules_setcap.packer.assignments import Assignment

LowerFiles = namedtuple("LowerFiles", ("entries", "assignments", "located"))
"""Files of lower layers that have been copied. entries: dict of path to Entry, the files and their parent directories;
assignments: list of Assignment, with the paths of the entries; located: dict of str to str, the path of an entry by the
path that file_capabilities has for it."""

LocatedFile = namedtuple("LocatedFile", ("assignment", "path", "node"))
"""A file of lower layers that an assignment names. assignment: Assignment; path: str, the path of the file, with the symbolic links
of its parent directories resolved; node: Node."""

ExtractedFile = namedtuple("ExtractedFile", ("source", "records"))
"""The content of an entry of a lower layer. source: str, the path of the copy; records: dict, the pax records of the entry."""


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
    return copy_files(tree, locate_files(tree, assignments, problems, describe_unmatched_file), blobs, directory, read_budget)


def locate_files(
    tree: RootFilesystem,
    assignments: Iterable[Assignment],
    problems: Problems,
    describe_unmatched: Callable[[str, Iterable[str]], str],
    *,
    allow_sparse: bool = False,
) -> list[LocatedFile]:
    """Finds the files that assignments name.

    Args:
      tree: the merged root filesystem of the lower layers.
      assignments: the assignments, from parse_assignments().
      problems: the collector of problems: paths that match no file, or a file that cannot have capabilities.
      describe_unmatched: returns the message for a path that matches nothing, from the path and the paths of all files.
      allow_sparse: whether the files may be sparse files of tar, which cannot be copied.
    """
    located: list[LocatedFile] = []
    for assignment in assignments:
        try:
            match = tree.find_node(assignment.path)
        except ValueError as error:
            problems.add(assignment.attribute, assignment.path, str(error))
            continue
        if match is None:
            files = [path for path, node in tree.walk() if node.type == FILE]
            problems.add(assignment.attribute, assignment.path, describe_unmatched(assignment.path, files))
            continue
        path, node = match
        if fault := _find_fault(path, node, tree, allow_sparse):
            problems.add(assignment.attribute, assignment.path, fault)
            continue
        located.append(LocatedFile(assignment, path, node))
    return located


def copy_files(
    tree: RootFilesystem,
    located: Iterable[LocatedFile],
    blobs: Sequence[layer_blobs.LayerBlob],
    directory: str,
    read_budget: ReadBudget,
    extracted: Mapping[tuple[int, int], ExtractedFile] | None = None,
) -> LowerFiles:
    """Copies files of lower layers, each with its owner, mode and other extended attributes.

    Args:
      tree: the merged root filesystem of the lower layers.
      located: the files, from locate_files().
      blobs: the lower layers, the lowest first.
      directory: an empty directory, into which the contents of the files are written.
      read_budget: the limit of the work.
      extracted: files that have been copied already, by the number of the layer and of the entry.

    Raises:
      InputError: a layer is not valid.
      OSError: a file cannot be written.
    """
    located = list(located)
    nodes = {file.path: file.node for file in located}
    entries = _extract_files(nodes, blobs, directory, read_budget, extracted or {})
    for path in nodes:
        while (path := path.rpartition("/")[0]) and path not in entries:
            if match := tree.find_node(path):
                node = match[1]
                entries[path] = _make_entry(path, node, "", {XATTR + name: value for name, value in node.xattrs.items()})
    return LowerFiles(
        entries, [file.assignment.move(file.path) for file in located], {file.assignment.path: file.path for file in located}
    )


def _find_fault(path: str, node: Node, tree: RootFilesystem, allow_sparse: bool) -> str:
    """Returns why a file of a lower layer cannot be given capabilities; "" if it can."""
    if node.type == SYMLINK:
        return describe_link(path, lambda link: _find_link_target(tree, link))
    # The attribute modes may change the mode, which assign_capabilities() checks afterwards.
    if fault := find_fault(node.type, 0o111, None):
        return fault
    return "a sparse file of tar, which cannot be copied" if node.sparse and not allow_sparse else ""


def _find_link_target(tree: RootFilesystem, path: str) -> str | None:
    """Returns the target of the symbolic link at a path; None if there is no symbolic link."""
    try:
        match = tree.find_node(path)
    except ValueError:
        return None
    return match[1].link if match and match[1].type == SYMLINK else None


def _extract_files(
    nodes: Mapping[str, Node],
    blobs: Sequence[layer_blobs.LayerBlob],
    directory: str,
    read_budget: ReadBudget,
    extracted: Mapping[tuple[int, int], ExtractedFile],
) -> dict[str, Entry]:
    """Writes the contents of files to `directory`. Each layer that has some of them is read once more.

    Args:
      nodes: the files by path.
      blobs: the lower layers, the lowest first.
      directory: an empty directory.
      read_budget: the limit of the work.
      extracted: as for copy_files().

    Returns:
      The entries by path.
    """
    entries = {
        path: _make_entry(path, node, file.source, file.records)
        for path, node in nodes.items()
        if (file := extracted.get((node.layer, node.entry)))
    }
    for number, blob in enumerate(blobs):
        paths: dict[int, list[str]] = {}  # By position in the layer. Hard links share one.
        for path, node in nodes.items():
            if node.layer == number and path not in entries:
                paths.setdefault(node.entry, []).append(path)
        if not paths:
            continue
        with layer_blobs.open_layer(blob, read_budget) as archive:
            for position, member in enumerate(archive):
                if position not in paths:
                    continue
                file = extract_file(archive, member, os.path.join(directory, f"{number}-{position}"))
                for path in paths[position]:
                    entries[path] = _make_entry(path, nodes[path], file.source, file.records)
    return entries


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
