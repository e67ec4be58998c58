"""Says where an image goes."""

from __future__ import annotations

import json

from rules_setcap.actions import stamps
from rules_setcap.delivery import destination
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.oci import descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments


def run_command(arguments: Arguments, problems: Problems) -> None:
    attributes = json.loads(arguments.take_value("attributes"))
    held = {f"{name}_file": arguments.take_value(f"{name.replace('_', '-')}-file", "") for name in ("repository", "remote_tags")}
    status, output = stamps.Status(arguments.take_values("stamp")), arguments.take_value("output")
    arguments.check_all_taken()

    if "tag" in attributes:
        found = destination.engine(attributes["tag"], status, problems)
    else:
        found = destination.registry(**attributes, **held, status=status, problems=problems)
    problems.raise_if_any()
    files.write_whole(output, descriptors.encode_document(found))
