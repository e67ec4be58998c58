"""Writes an OCI image layout as one tar, which container engines load."""

from __future__ import annotations

from rules_setcap.diagnostics import files
from rules_setcap.oci.archive_export import export_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run(arguments: Arguments, problems: Problems) -> None:
    """Runs the subcommand."""
    name = files.read_json(arguments.one("destination"))["name"]
    layout, output = arguments.one("layout"), arguments.one("output")
    platform = arguments.one("platform", "")
    arguments.end()
    problems.raise_if_any()
    with files.whole(output) as stream:
        export_archive(stream, layout, name, platform)
