"""Unpacks an image archive, or copies an OCI image layout, into an OCI image layout directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rules_setcap.oci.archive_import import import_archive
from rules_setcap.oci.layout_writer import copy_layout

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Runs the subcommand."""
    output, source = arguments.take_value("output"), arguments.take_value("archive")
    attribute = arguments.take_value("attribute", "base")
    arguments.check_all_taken()
    problems.raise_if_any()
    if os.path.isdir(source):  # Bazel takes a directory in the source tree for a file.
        copy_layout(output, source, attribute)
    elif os.path.basename(source) == "index.json":  # The files of a layout are given one by one.
        copy_layout(output, os.path.dirname(source), attribute)
    else:
        import_archive(output, source, attribute)
