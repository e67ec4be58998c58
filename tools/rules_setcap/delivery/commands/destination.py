"""Expands and checks the destination of an image.

rules/private/delivery.bzl, write_destination(), writes the command line.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rules_setcap.actions import stamps
from rules_setcap.delivery.destination import resolve_engine_destination, resolve_registry_destination
from rules_setcap.diagnostics import files
from rules_setcap.oci import descriptors

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Writes the destination as JSON.

    Args:
      arguments: the flags.
      problems: the collector of problems.

    Raises:
      InputError: there are problems.
      OSError: a file cannot be read or written.
    """
    attributes = json.loads(arguments.take_value("attributes"))
    repository_file, remote_tags_file = (arguments.take_value(f"{name}-file", "") for name in ("repository", "remote-tags"))
    status, output = stamps.Status(arguments.take_values("stamp")), arguments.take_value("output")
    arguments.check_all_taken()

    if "tag" in attributes:
        destination = resolve_engine_destination(attributes["tag"], status, problems)
    else:
        destination = resolve_registry_destination(
            **attributes, repository_file=repository_file, remote_tags_file=remote_tags_file, status=status, problems=problems
        )
    problems.raise_if_any()
    files.write_whole(output, descriptors.encode_document(destination))
