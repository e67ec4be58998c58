"""Copies files of lower layers, so that they can be packed with other capabilities, as `RUN setcap` does in a Dockerfile."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.entry import FILE, SYMLINK, Entry
from rules_setcap.archive.records import CAPABILITY_RECORD, OVERLAY, XATTR
from rules_setcap.oci import extraction, found_files, layer_blobs, layer_merge
from rules_setcap.packer.assignments import describe_link, find_fault
from rules_setcap.packer.unmatched_paths import describe_unmatched_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rules_setcap.diagnostics.problems import Problems
    from rules_setcap.oci.extraction import ExtractedFile
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


def copy_found_files(directory: str, assignments: Iterable[Assignment], problems: Problems) -> LowerFiles:
    """Copies the files that a search in the layers of a base has found; nothing is copied on disk.

    Args:
      directory: what the search has written; see found_files.py.
      assignments: the assignments, from parse_assignments().
      problems: the collector of problems, as for copy_lower_files().

    Raises:
      InputError: the base cannot be read.
      OSError: a file cannot be read.
    """
    found = found_files.read_found(directory)

    def describe_unmatched(path: str, _files: Iterable[str]) -> str:
        return describe_unmatched_file(path, found.files)

    located = locate_files(found.root, assignments, problems, describe_unmatched)
    return copy_files(found.root, located, (), directory, ReadBudget(), found.extracted)


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
    contents = dict(extracted or {})
    missing = {(node.layer, node.entry) for node in nodes.values()} - contents.keys()
    contents |= extraction.extract_files(missing, blobs, directory, read_budget)
    entries = {path: _make_entry(path, node, *contents[node.layer, node.entry]) for path, node in nodes.items()}
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


def _make_entry(path: str, node: Node, source: str, records: Mapping[bytes, bytes]) -> Entry:
    """Returns an entry like that of a lower layer, but without its capabilities.

    The attributes of overlayfs are about the layer that has them: repeated, they would hide the files of the layers below.
    """
    xattrs = [
        (name[len(XATTR) :].decode("utf-8", "surrogateescape"), value)
        for name, value in records.items()
        if name.startswith(XATTR) and name != CAPABILITY_RECORD and not name.startswith(OVERLAY)
    ]
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
