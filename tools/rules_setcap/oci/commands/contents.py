"""Lists the merged root filesystem of a base image, so that the actions of images on top of it do not read its layers.

The action does not fail if the base is not valid: it writes the problems, and the images on top of the base report them
together with their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import base_contents
from rules_setcap.oci.blobs import map_fetched_blobs
from rules_setcap.oci.layer_blobs import list_layout_layers
from rules_setcap.oci.layer_merge import apply_layers, unpack_if_engines_differ

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Runs the subcommand."""
    output, layout, platform = arguments.take_value("output"), arguments.take_value("layout"), arguments.take_value("platform")
    fetched_blobs = map_fetched_blobs(arguments.take_values("layer-blob"))
    arguments.check_all_taken()
    problems.raise_if_any()
    try:
        metadata = _list_base(layout, platform, fetched_blobs)
    except InputError as error:
        metadata = {**base_contents.EMPTY, "problems": arguments.labels.apply(error.problems)}
    files.write_json(output, metadata)


def _list_base(layout: str, platform: str, fetched_blobs: Mapping[str, str]) -> dict[str, Any]:
    """Returns the metadata of a base, as if all its layers were one.

    Args:
      layout: the path of its OCI image layout directory.
      platform: os/architecture/variant of the image.
      fetched_blobs: by digest, the paths of layers that the layout lacks.

    Raises:
      InputError: the base is not valid.
    """
    budget = ReadBudget(blobs=True)
    collector = base_contents.InterpreterCollector()
    blobs = list_layout_layers(layout, platform, fetched_blobs)
    root, differing = unpack_if_engines_differ(apply_layers(blobs, budget, collector.inspect), blobs)
    return base_contents.describe_files(root, collector, differing, budget, layout)
