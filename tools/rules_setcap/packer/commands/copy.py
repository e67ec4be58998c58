"""Packs files of the layers below again, with other capabilities, modes, owners and extended attributes."""

from __future__ import annotations

import os
import tempfile

from rules_setcap.archive import compress
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError, about
from rules_setcap.oci import lower_layers
from rules_setcap.packer import assignments, copies, layer, styles
from rules_setcap.packer.mtime import read_mtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rules_setcap.actions.arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    output, metadata = arguments.one("output"), arguments.one("metadata")
    blob = arguments.blob()
    blob["level"] = compress.check_level(blob["compression"], blob["level"], problems)
    mtime = read_mtime(arguments, problems)
    changed = arguments.all("change")
    parsed = assignments.parse(arguments.all("capabilities"), problems)
    unmatched_paths = arguments.one("unmatched-paths", "")
    if unmatched_paths:
        missing = files.read_json(unmatched_paths)
        parsed = [grant for grant in parsed if grant.path in missing]
    layouts, platform, pairs = arguments.all("below-layout"), arguments.one("platform"), arguments.all("below-blob")
    arguments.end()
    if about(problems, "base", "platform"):
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
