"""Links the blobs of an image into an OCI image layout directory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import files
from rules_setcap.oci.blobs import map_fetched_blobs
from rules_setcap.oci.layout_writer import write_built_layout

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Runs the subcommand."""
    manifest, config = (files.read_file(arguments.take_value(name)) for name in ("manifest", "config"))
    descriptor = files.read_json(arguments.take_value("descriptor"))
    layers = zip(arguments.take_values("layer-metadata"), arguments.take_values("layer-blob"), strict=True)
    blobs = {files.read_json(metadata)["descriptor"]["digest"]: blob for metadata, blob in layers}
    blobs |= map_fetched_blobs(arguments.take_values("base-blob"))
    left_out = {f"sha256:{name}" for name in arguments.take_values("left-out")}
    base_layouts, output = arguments.take_values("base-layout"), arguments.take_value("output")
    arguments.check_all_taken()
    problems.raise_if_any()
    write_built_layout(
        output,
        documents={descriptor["digest"]: manifest, json.loads(manifest)["config"]["digest"]: config},
        descriptor=descriptor,
        blobs=blobs,
        base_layouts=base_layouts,
        left_out=left_out,
    )
