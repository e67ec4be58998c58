"""Writes an image as one tar, which container engines load."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import files
from rules_setcap.oci.archive_export import export_archive
from rules_setcap.oci.built_images import PARTS, BuiltImage, open_layout

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Runs the subcommand."""
    name = files.read_json(arguments.take_value("destination"))["name"]
    output, platform = arguments.take_value("output"), arguments.take_value("platform", "")
    descriptor = arguments.take_value("image-descriptor", "")
    parts = [arguments.take_values(f"image-{part}") for part in PARTS]
    path = arguments.take_value("layout", "")
    arguments.check_all_taken()
    problems.raise_if_any()
    opened = open_layout(BuiltImage(descriptor, *parts)) if descriptor else contextlib.nullcontext(path)
    with opened as layout, files.open_new_file(output) as stream:
        export_archive(stream, layout, name, platform)
