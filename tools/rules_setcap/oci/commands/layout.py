"""Links it all into an OCI image layout directory."""

from __future__ import annotations

from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments


def run_command(arguments: Arguments, problems: list[str]) -> None:
    contents = {name: files.read_file(arguments.take_value(name)) for name in ("manifest", "config", "descriptor")}
    blobs = {}
    for pair in arguments.take_values("layer"):
        metadata, _, blob = pair.partition("=")
        blobs[files.read_json(metadata)["descriptor"]["digest"]] = blob
    base_layouts, output = arguments.take_values("base-layout"), arguments.take_value("output")
    arguments.check_all_taken()
    if problems:
        raise InputError(problems)
    layout.write(output, blobs=blobs, base_layouts=base_layouts, **contents)
