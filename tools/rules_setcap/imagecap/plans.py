"""Finds out which capabilities of an image change: for each file that the user names, and for those of --only and --strip."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, NamedTuple

from rules_setcap import capabilities
from rules_setcap.archive.entry import FILE
from rules_setcap.archive.paths import is_utf8
from rules_setcap.archive.records import CAPABILITY
from rules_setcap.diagnostics.errors import quote
from rules_setcap.diagnostics.suggestions import suggest_path
from rules_setcap.imagecap.grants import ATTRIBUTE
from rules_setcap.oci.extraction import ExtractedFile, extract_file
from rules_setcap.oci.image import follow_path
from rules_setcap.oci.layer_blobs import count_layers_ahead, list_image_layers
from rules_setcap.oci.layer_merge import apply_layers, unpack_if_engines_differ
from rules_setcap.oci.platforms import format_platform
from rules_setcap.packer.assignments import Assignment
from rules_setcap.packer.lower_files import LocatedFile, locate_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from rules_setcap.archive.budget import ReadBudget
    from rules_setcap.archive.reader import Member, TarReader
    from rules_setcap.diagnostics.problems import Problems
    from rules_setcap.imagecap.source_images import Source
    from rules_setcap.oci.image_documents import ImageDocuments
    from rules_setcap.oci.layer_blobs import LayerBlob
    from rules_setcap.oci.root_filesystem import RootFilesystem


_MAX_EXTRACTED, _MAX_EXTRACTED_SIZE = 64, 1 << 30
"""Files of one image whose contents are copied when its layers are read first, and bytes of each; others are read again."""


_INVALID = "an invalid attribute"
"""The text for an extended attribute that setxattr(2) refuses."""


class FileChange(NamedTuple):
    """A file whose capabilities are set or taken away, under one of its names.

    Attributes:
      path: the path.
      layer: the number of the layer that has the file.
      before: the capabilities that it has, as text; None for none.
      after: those that it gets.
    """

    path: str
    layer: int
    before: str | None
    after: str | None


class Plan(NamedTuple):
    """The changes of one image.

    Attributes:
      image: its documents.
      blobs: its layers, the lowest first.
      tree: its merged root filesystem.
      files: the files whose capabilities are set or taken away, with their assignments.
      changes: the changes of the files, sorted by path; in place, with every hard link of a file.
      named: the number of files at the start of `files` that the user named; --only and --strip add the others.
      extracted: contents of files that have the names of those that the user named, by the number of layer and entry.
      engines_may_differ: whether its layers have entries about which container engines may differ.
    """

    image: ImageDocuments
    blobs: Sequence[LayerBlob]
    tree: RootFilesystem
    files: list[LocatedFile]
    changes: list[FileChange]
    named: int
    extracted: dict[tuple[int, int], ExtractedFile]
    engines_may_differ: bool

    @property
    def platform(self) -> str:
        """os/architecture[/variant]."""
        return format_platform(self.image.config)


def plan_changes(
    source: Source,
    image: ImageDocuments,
    assignments: Sequence[Assignment],
    *,
    removes_others: bool,
    in_place: bool,
    follow_links: bool,
    directory: str,
    budget: ReadBudget,
    problems: Problems,
) -> Plan:
    """Reads the layers of an image, verifies them, and finds the files.

    Args:
      source: the source that has the image.
      image: the documents of the image.
      assignments: the assignments that the user wrote.
      removes_others: whether all other files lose their capabilities.
      in_place: whether the layers that have the files change; otherwise the files are copied.
      follow_links: whether a path that is a symbolic link names the file to which it leads.
      directory: an existing directory for the contents of files that are copied.
      budget: counts the reading of the layers of all images.
      problems: the collector of problems: files that do not exist, or cannot have capabilities.

    Raises:
      InputError: a layer is not valid.
    """
    blobs = list_image_layers(source.layout, image, have_digests=source.is_unpacked)
    extracted: dict[tuple[int, int], ExtractedFile] = {}
    if in_place:
        root = apply_layers(blobs, budget, layers_ahead=count_layers_ahead())
    else:
        # Files that are copied are most often the only ones of their name, so that their layers need not be read again.
        base_names = {assignment.path.rpartition("/")[2] for assignment in assignments}
        inspect = functools.partial(_extract_files, names=base_names, directory=directory, extracted=extracted)
        root = apply_layers(blobs, budget, inspect, layers_ahead=count_layers_ahead())
    tree, _ = unpack_if_engines_differ(root, blobs, first=True)
    if follow_links:
        assignments = [_follow_links(assignment, tree) for assignment in assignments]
    files = locate_files(tree, assignments, problems, _describe_unmatched, allow_sparse=in_place)
    named = len(files)
    if not in_place:
        _check_attributes(tree, problems)
    # In place, all hard links of a file change together. In a new layer, each name becomes a file of its own.
    first_paths: dict[int | str, str] = {}
    for file in files:
        key = id(file.node) if in_place else file.path
        if key in first_paths:
            what = f"the same file as {quote(first_paths[key])}, which has capabilities already; keep one"
            problems.add(file.assignment.attribute, file.assignment.path, what)
        first_paths.setdefault(key, file.path)
    if removes_others:
        for path, node in tree.walk():
            other = id(node) if in_place else path
            if node.type == FILE and CAPABILITY in node.xattrs and other not in first_paths:
                first_paths[other] = path
                files.append(LocatedFile(Assignment(ATTRIBUTE, path, None), path, node))
    names: dict[int | str, list[str]] = {}
    if in_place:
        for path, node in tree.walk():
            if id(node) in first_paths:
                names.setdefault(id(node), []).append(path)
    changes = [
        FileChange(
            path, file.node.layer, _describe_value(file.node.xattrs.get(CAPABILITY)), _describe_assignment(file.assignment)
        )
        for file in files
        for path in names.get(id(file.node), [file.path])
    ]
    return Plan(image, blobs, tree, files, sorted(changes, key=_get_path), named, extracted, root.engines_may_differ)


def _follow_links(assignment: Assignment, tree: RootFilesystem) -> Assignment:
    """Returns the assignment for the path to which all links of its path lead; the same one if they lead nowhere."""
    try:
        match = follow_path(tree, assignment.path)
    except ValueError:
        return assignment
    return assignment.move(match[0]) if match else assignment


def _extract_files(
    archive: TarReader, layer: int, names: Collection[str], directory: str, extracted: dict[tuple[int, int], ExtractedFile]
) -> Iterator[Member]:
    """Yields the entries of a layer, and copies the contents of files with one of the names, as long as they are not many."""
    for number, member in enumerate(archive):
        if (
            member.type == FILE
            and not member.sparse
            and member.path.rpartition("/")[2] in names
            and len(extracted) < _MAX_EXTRACTED
            and member.size <= _MAX_EXTRACTED_SIZE
        ):
            output = os.path.join(directory, f"extracted{layer}-{number}")
            extracted[layer, number] = extract_file(archive, member, output)
        yield member


def _check_attributes(tree: RootFilesystem, problems: Problems) -> None:
    """Adds a problem for each file whose attribute engines cannot set: a layer above it does not help."""
    for path, node in tree.walk():
        value = node.xattrs.get(CAPABILITY)
        if node.type == FILE and _describe_value(value) == _INVALID:
            what = f"has an invalid security.capability attribute, so that engines do not unpack its layer; write --rewrite and {quote(path + '=')}"
            problems.add(ATTRIBUTE, path, what)


def _describe_value(value: bytes | None) -> str | None:
    """Returns the capabilities of an extended attribute as text; None for no attribute."""
    if value is None:
        return None
    try:
        return capabilities.from_xattr(value).to_text()
    except capabilities.CapabilityError:
        return _INVALID


def _get_path(change: FileChange) -> str:
    return change.path


def _describe_assignment(assignment: Assignment) -> str | None:
    """Returns the capabilities that an assignment gives, as text; None if it takes them away."""
    return assignment.value.to_text() if assignment.value is not None else None


def list_capabilities(tree: RootFilesystem) -> dict[str, bytes]:
    """Returns the extended attributes of all files that have capabilities, by path."""
    return {path: node.xattrs[CAPABILITY] for path, node in tree.walk() if node.type == FILE and CAPABILITY in node.xattrs}


def _describe_unmatched(path: str, files: Iterable[str]) -> str:
    return "no file of the image has this path" + suggest_path(path, [file for file in files if is_utf8(file)], 0.8)
