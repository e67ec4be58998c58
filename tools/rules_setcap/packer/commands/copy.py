"""Packs files of the layers below again, with other capabilities, modes, owners and extended attributes."""

from __future__ import annotations

import os
import tempfile

from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import lower_layers
from rules_setcap.packer import assignments, copies, layer, styles
from rules_setcap.packer.blob_options import take_blob_options
from rules_setcap.packer.mtime import read_mtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    output, metadata = arguments.take_value("output"), arguments.take_value("metadata")
    blob, mtime = take_blob_options(arguments), read_mtime(arguments, problems)
    changed = arguments.take_values("change")
    parsed = assignments.parse(arguments.take_values("capabilities"), problems)
    unmatched_paths = arguments.take_value("unmatched-paths", "")
    if unmatched_paths:
        missing = files.read_json(unmatched_paths)
        parsed = [grant for grant in parsed if grant.path in missing]
    layouts, platform, pairs = arguments.take_values("below-layout"), arguments.take_value("platform"), arguments.take_values("below-blob")
    arguments.check_all_taken()
    if problems.concern("base", "platform"):
        raise InputError(problems)

    with tempfile.TemporaryDirectory(dir=os.path.dirname(output) or ".") as directory:
        found: dict[str, Any] = {}
        places: dict[str, str] = {}
        if parsed:
            blobs = [each for layout in layouts for each in lower_layers.of_layout(layout, platform)] + lower_layers.of_pairs(pairs)
            found, parsed, places = copies.find(parsed, blobs, directory, problems)
        if changed:
            from rules_setcap.packer import changes

            changes.apply_to_copies(changed, found, places, not unmatched_paths, problems)
        granted = assignments.resolve(parsed, found, problems)
        if problems:
            raise InputError(problems)
        said = layer.write(output, found.values(), granted, mtime=mtime, style=styles.STYLES["plain"], **blob)
    # A layer without entries does not become a part of the image.
    files.write_json(metadata, {**said, "empty": not found})
