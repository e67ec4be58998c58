"""Writes an image index of images' descriptors."""

from __future__ import annotations

import json

from .. import files, index, oci, stamps, values
from ..errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    names, paths = arguments.all("name"), arguments.all("image")
    images = [(name, files.read_json(path)) for name, path in zip(names, paths)]
    given, file = json.loads(arguments.one("annotations")), arguments.one("annotations-file", "")
    status = stamps.Status(arguments.all("stamp"))
    outputs = [arguments.one(f"{name}-output") for name in ("index", "descriptor")]
    arguments.end()

    annotations = values.resolve_pairs("annotations", given, file, status, problems)
    status.check_used("annotations", problems)
    data = oci.encode(index.build(images, annotations, problems))
    if problems:
        raise InputError(problems)
    for path, content in zip(outputs, (data, oci.encode(oci.descriptor(oci.INDEX, data)))):
        files.write_whole(path, content)
