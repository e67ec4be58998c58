"""Links the files of an OCI image layout, which are given one by one, into a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.oci.layout_writer import link_layout

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Runs the subcommand."""
    index, attribute, output = (arguments.take_value(name) for name in ("index", "attribute", "output"))
    paths, fetched_blobs = arguments.take_values("file"), arguments.take_values("layer-blob")
    arguments.check_all_taken()
    problems.raise_if_any()
    link_layout(output, index, paths, fetched_blobs, attribute)
