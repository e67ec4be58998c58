"""Links the blobs of an image into an OCI image layout directory."""

from __future__ import annotations

from rules_setcap.diagnostics import files
from rules_setcap.oci.layout_writer import write_image_layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run(arguments: Arguments, problems: Problems) -> None:
    """Runs the subcommand."""
    documents = {name: files.read(arguments.one(name)) for name in ("manifest", "config", "descriptor")}
    blobs = {}
    for pair in arguments.all("layer"):
        metadata, _, blob = pair.partition("=")
        blobs[files.read_json(metadata)["descriptor"]["digest"]] = blob
    base_layouts, output = arguments.all("base-layout"), arguments.one("output")
    arguments.end()
    problems.raise_if_any()
    write_image_layout(output, blobs=blobs, base_layouts=base_layouts, **documents)
