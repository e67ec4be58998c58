"""Unpacks an archive of an image, or copies an OCI image layout, into an OCI image layout directory."""

from __future__ import annotations

import os

from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import archives, layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments


def run_command(arguments: Arguments, problems: list[str]) -> None:
    output, source = arguments.take_value("output"), arguments.take_value("archive")
    attribute = arguments.take_value("attribute", "base")
    arguments.check_all_taken()
    if problems:
        raise InputError(problems)
    if os.path.isdir(source):  # In the source tree: for Bazel it is a file.
        layout.copy(output, source, attribute)
    else:
        archives.write(output, source, attribute)
