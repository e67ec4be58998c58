"""Writes an image index of images' descriptors."""

from __future__ import annotations

import json

from rules_setcap.actions import stamps
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import formats, index, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments


def run_command(arguments: Arguments, problems: list[str]) -> None:
    names, paths = arguments.take_values("name"), arguments.take_values("image")
    images = [(name, files.read_json(path)) for name, path in zip(names, paths)]
    given, file = json.loads(arguments.take_value("annotations")), arguments.take_value("annotations-file", "")
    status = stamps.Status(arguments.take_values("stamp"))
    outputs = [arguments.take_value(f"{name}-output") for name in ("index", "descriptor")]
    arguments.check_all_taken()

    annotations = values.resolve_pairs("annotations", given, file, status, problems)
    status.check_used("annotations", problems)
    data = formats.encode(index.build(images, annotations, problems))
    if problems:
        raise InputError(problems)
    for path, content in zip(outputs, (data, formats.encode(formats.descriptor(formats.INDEX, data)))):
        files.write_whole(path, content)
