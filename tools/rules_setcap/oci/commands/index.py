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


def run(arguments: Arguments, problems: list[str]) -> None:
    names, paths = arguments.all("name"), arguments.all("image")
    images = [(name, files.read_json(path)) for name, path in zip(names, paths)]
    given, file = json.loads(arguments.one("annotations")), arguments.one("annotations-file", "")
    status = stamps.Status(arguments.all("stamp"))
    outputs = [arguments.one(f"{name}-output") for name in ("index", "descriptor")]
    arguments.end()

    annotations = values.resolve_pairs("annotations", given, file, status, problems)
    status.check_used("annotations", problems)
    data = formats.encode(index.build(images, annotations, problems))
    if problems:
        raise InputError(problems)
    for path, content in zip(outputs, (data, formats.encode(formats.descriptor(formats.INDEX, data)))):
        files.write_whole(path, content)
