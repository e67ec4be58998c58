"""Packs files of lower layers again, with other capabilities and attributes.

rules/private/layer_actions.bzl, copy_lower_files(), writes the command line.
"""

from __future__ import annotations

import json
import os
import tempfile
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import files
from rules_setcap.oci import layer_blobs
from rules_setcap.oci.blobs import map_fetched_blobs
from rules_setcap.packer import assignments, layer_writer, lower_files, tar_styles
from rules_setcap.packer.blob_options import take_blob_options
from rules_setcap.packer.mtime import read_mtime

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Writes the blob and the metadata of a layer.

    Args:
      arguments: the flags.
      problems: the collector of problems.

    Raises:
      InputError: there are problems.
      OSError: a file cannot be read or written.
    """
    output, metadata = arguments.take_value("output"), arguments.take_value("metadata")
    blob, mtime = take_blob_options(arguments, problems), read_mtime(arguments, problems)
    changes = [json.loads(text) for text in arguments.take_values("change")]
    requests = [json.loads(text) for text in arguments.take_values("capabilities")]
    assigned = assignments.parse_assignments(requests, problems)
    unmatched_paths = arguments.take_value("unmatched-paths", "")
    if unmatched_paths:
        paths = files.read_json(unmatched_paths)
        assigned = [assignment for assignment in assigned if assignment.path in paths]
    layouts, platform = arguments.take_values("lower-layout"), arguments.take_value("platform", "")
    lower_metadata, lower_blobs = arguments.take_values("lower-metadata"), arguments.take_values("lower-blob")
    fetched_blobs, found = map_fetched_blobs(arguments.take_values("layer-blob")), arguments.take_value("found", "")
    arguments.check_all_taken()
    if problems.concern("base", "platform"):
        problems.raise_if_any()  # The base cannot be read.

    with tempfile.TemporaryDirectory(dir=os.path.dirname(output) or ".") as directory:
        copied = lower_files.LowerFiles({}, [], {})
        if assigned and found:
            copied = lower_files.copy_found_files(found, assigned, problems)
        elif assigned:
            blobs = [each for layout in layouts for each in layer_blobs.list_layout_layers(layout, platform, fetched_blobs)]
            blobs += layer_blobs.list_built_layers(lower_metadata, lower_blobs)
            copied = lower_files.copy_lower_files(assigned, blobs, directory, problems)
        if changes:
            from rules_setcap.packer import entry_changes  # Few layers need it, and importing it takes time.

            entry_changes.change_copies(changes, copied.entries, copied.located, bool(unmatched_paths), problems)
        capabilities = assignments.assign_capabilities(copied.assignments, copied.entries, problems)
        problems.raise_if_any()
        style = tar_styles.TAR_STYLES["plain"]
        description = layer_writer.write_layer(output, copied.entries.values(), capabilities, mtime=mtime, style=style, **blob)
    # An image leaves out a layer without entries.
    files.write_json(metadata, {**description, "empty": not copied.entries})
