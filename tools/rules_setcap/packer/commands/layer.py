"""Packs files into a layer. rules/private/layer_actions.bzl, pack_layer(), writes the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import quote
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.oci import merged_contents
from rules_setcap.packer import assignments, entries, layer_writer, parent_directories, placement, tar_styles
from rules_setcap.packer.blob_options import take_blob_options
from rules_setcap.packer.mtime import read_mtime
from rules_setcap.packer.unmatched_paths import describe_unmatched_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from rules_setcap.actions.arguments import Arguments


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Writes the blob and the metadata of a layer.

    Args:
      arguments: the flags, and a line for assignment entry.
      problems: the collector of problems.

    Raises:
      InputError: there are problems.
      OSError: a file cannot be read or written.
    """
    output, metadata = arguments.take_value("output"), arguments.take_value("metadata")
    blob = take_blob_options(arguments, problems)
    owner, mode, program = (
        json.loads(arguments.take_value(name, default))
        for name, default in (("owner", '"0:0"'), ("mode", '"0755"'), ("program", '""'))
    )
    defaults, mtime = entries.parse_defaults(owner, mode, problems), read_mtime(arguments, problems)
    requests, changes, replaces = (
        [json.loads(text) for text in arguments.take_values(name)] for name in ("capabilities", "change", "replaces")
    )
    if file := arguments.take_value("capabilities-from", ""):
        requests += assignments.read_request(file, program, problems)
    which_parents = arguments.take_value("parent-directories", parent_directories.ALL)
    link_duplicates = arguments.take_value("hard-link-duplicates", "")
    lower = _merge_lower_layers(
        arguments.take_values("base-contents"),
        arguments.take_values("lower-metadata"),
        arguments.take_values("lower-label"),
        replaces,
        problems,
    )
    style = tar_styles.TAR_STYLES[arguments.take_value("tar-style", "plain")]
    unmatched_output = arguments.take_value("unmatched-paths", "")
    arguments.check_all_taken()

    # The entries of the layer.
    by_path = entries.parse_entries(arguments.entries, problems, arguments.digests, defaults)
    tar_styles.set_directory_mode(by_path, style.directory_mode)
    named = {entry.path for entry in by_path.values() if entry.attribute == "directories"}
    by_path = placement.place_entries(by_path, lower, named, replaces, problems)
    parent_directories.add_parent_directories(by_path, lower, which_parents, style.directory_mode, problems)

    # Their attributes and capabilities.
    locate = _make_locator(lower)
    assignment_problems = Problems()
    assigned = assignments.parse_assignments(requests, assignment_problems)
    if changes:
        from rules_setcap.packer import entry_changes  # Few layers need it, and importing it takes time.

        copied = [assignment.path for assignment in assigned if unmatched_output and assignment.attribute == "file_capabilities"]
        named |= entry_changes.change_entries(changes, by_path, copied, problems, locate)
    placement.copy_attributes_to_hard_links(by_path, problems)
    problems.extend(assignment_problems)
    unmatched: list[assignments.Assignment] = []
    if unmatched_output:
        unmatched = [
            assignment
            for assignment in assigned
            if assignment.attribute == "file_capabilities" and locate(assignment.path) not in by_path
        ]
        assigned = [assignment for assignment in assigned if assignment not in unmatched]
        _check_unmatched(unmatched, lower, locate, problems)
    moved = [assignment.move(locate(assignment.path)) for assignment in assigned]
    capabilities = assignments.assign_capabilities(moved, by_path, problems)
    problems.raise_if_any()

    if link_duplicates:
        from rules_setcap.packer import hard_link_duplicates

        hard_link_duplicates.link_duplicates(by_path, capabilities)
    description = layer_writer.write_layer(
        output, by_path.values(), capabilities, mtime=mtime, style=style, named=named, program=locate(program), **blob
    )
    # An image leaves out a layer without entries.
    files.write_json(metadata, {**description, **({} if by_path else {"empty": True})})
    if unmatched_output:
        files.write_whole(unmatched_output, json.dumps(sorted(assignment.path for assignment in unmatched)).encode())


def _merge_lower_layers(
    base: Sequence[str], layers: Sequence[str], labels: Sequence[str], replaces: Collection[str], problems: Problems
) -> merged_contents.MergedContents:
    """Returns the merged root filesystem of the lower layers.

    Args:
      base: paths of the contents of base images and of the metadata of their layers, the lowest first.
      layers: paths of the metadata of the layers between the base and this one, the lowest first.
      labels: the label of assignment of `layers`, as JSON.
      replaces: paths of lower entries that an entry of another kind may replace.
      problems: the collector of problems: entries of `layers` that replace one of another kind.
    """
    lower = merged_contents.MergedContents()
    # If the platform is not valid, the base has no contents.
    for path in base if not problems.concern("platform") else ():
        lower.apply_layer(files.read_json(path))
    problems.extend(lower.problems)
    lower.changed_directories.clear()
    for path, label in zip(layers, labels, strict=True):
        for replacement in lower.apply_layer(files.read_json(path)):
            if replacement.path not in replaces:
                where = quote(replacement.path)
                what = f"{replacement.above} at {where} would replace {replacement.below} of a layer below"
                problems.add("layers", json.loads(label), f"{what}; to replace it, add {where} to replaces")
    return lower


def _make_locator(lower: merged_contents.MergedContents) -> Callable[[str], str]:
    """Returns a function like lower.resolve_parents() that never fails.

    It returns the path itself if links lead in a circle; place_entries() reports those.
    """

    def locate(path: str) -> str:
        try:
            return lower.resolve_parents(path)
        except ValueError:
            return path

    return locate


def _check_unmatched(
    unmatched: Sequence[assignments.Assignment],
    lower: merged_contents.MergedContents,
    locate: Callable[[str], str],
    problems: Problems,
) -> None:
    """Adds a problem for assignment path that the lower layers do not have either. The other files are copied from there."""
    if problems.concern("base", "platform"):
        return  # The base could not be read.
    for assignment in unmatched:
        if not lower.get_type(locate(assignment.path)):
            problems.add(assignment.attribute, assignment.path, describe_unmatched_file(assignment.path, lower.files))
