"""Writes an image index from the descriptors of its images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rules_setcap.actions import stamps
from rules_setcap.diagnostics import files
from rules_setcap.oci import media_types
from rules_setcap.oci.descriptors import describe_blob, encode_document
from rules_setcap.oci.image_attributes.values import resolve_pairs
from rules_setcap.oci.index import build_index

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Runs the subcommand."""
    names, paths = arguments.take_values("name"), arguments.take_values("image")
    images = [(name, files.read_json(path)) for name, path in zip(names, paths, strict=True)]
    pairs, annotations_file = json.loads(arguments.take_value("annotations")), arguments.take_value("annotations-file", "")
    status = stamps.Status(arguments.take_values("stamp"))
    index_output, descriptor_output = arguments.take_value("index-output"), arguments.take_value("descriptor-output")
    arguments.check_all_taken()

    annotations = resolve_pairs("annotations", pairs, annotations_file, status, problems)
    status.check_used("annotations", problems)
    index = encode_document(build_index(images, annotations, problems))
    problems.raise_if_any()
    files.write_whole(index_output, index)
    files.write_whole(descriptor_output, encode_document(describe_blob(media_types.INDEX, index)))
