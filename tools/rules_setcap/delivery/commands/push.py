"""Describes the push of an image.

rules/private/push.bzl, _describe_push(), writes the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.delivery.push_description import BuiltImage, describe_built_push, describe_layout_push
from rules_setcap.diagnostics import files

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Writes the description as JSON.

    Args:
      arguments: the flags.
      problems: the collector of problems.

    Raises:
      InputError: the image is not valid.
      OSError: a file cannot be read or written.
    """
    destination, output = arguments.take_value("destination"), arguments.take_value("output")
    layout, index = arguments.take_value("layout", ""), arguments.take_values("index")
    images: list[BuiltImage] = []
    while documents := arguments.take_values(f"image-{len(images)}"):
        number = len(images)
        manifest, config, descriptor = map(files.read_file, documents)
        base, layers = (
            [files.read_json(path) for path in arguments.take_values(f"{name}-{number}")] for name in ("contents", "layer")
        )
        images.append(BuiltImage(manifest, config, descriptor, base, layers))
    arguments.check_all_taken()
    problems.raise_if_any()
    description = describe_layout_push(layout) if layout else describe_built_push(images, *map(files.read_file, index))
    files.write_json(output, {**files.read_json(destination), **description})
