"""Writes an OCI image layout as one tar, which container engines load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics import files
from rules_setcap.oci.archive_export import export_archive

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Runs the subcommand."""
    name = files.read_json(arguments.take_value("destination"))["name"]
    layout, output = arguments.take_value("layout"), arguments.take_value("output")
    platform = arguments.take_value("platform", "")
    arguments.check_all_taken()
    problems.raise_if_any()
    with files.open_new_file(output) as stream:
        export_archive(stream, layout, name, platform)
