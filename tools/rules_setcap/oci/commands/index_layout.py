"""Links the blobs of images into the OCI image layout of their index."""

from __future__ import annotations

from rules_setcap.diagnostics import files
from rules_setcap.oci.layout_writer import write_index_layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run(arguments: Arguments, problems: Problems) -> None:
    """Runs the subcommand."""
    documents = {name: files.read(arguments.one(name)) for name in ("index", "descriptor")}
    layouts, output = arguments.all("layout"), arguments.one("output")
    arguments.end()
    problems.raise_if_any()
    write_index_layout(output, layouts=layouts, **documents)
