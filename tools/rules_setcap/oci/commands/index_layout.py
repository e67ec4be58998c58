"""Links the blobs of images into the OCI image layout of their index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics import files
from rules_setcap.oci.layout_writer import write_index_layout

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Runs the subcommand."""
    documents = {name: files.read_file(arguments.take_value(name)) for name in ("index", "descriptor")}
    layouts, output = arguments.take_values("layout"), arguments.take_value("output")
    arguments.check_all_taken()
    problems.raise_if_any()
    write_index_layout(output, layouts=layouts, **documents)
