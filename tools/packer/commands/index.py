"""Makes an image index of images' descriptors."""

from __future__ import annotations

import json

from .. import files, index, oci
from ..errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    names, paths = arguments.all("name"), arguments.all("image")
    images = [(name, files.read_json(path)) for name, path in zip(names, paths)]
    annotations = json.loads(arguments.one("annotations"))
    outputs = [arguments.one(f"{name}-output") for name in ("index", "descriptor")]
    arguments.end()

    data = oci.encode(index.build(images, annotations, problems))
    if problems:
        raise InputError(problems)
    for path, content in zip(outputs, (data, oci.encode(oci.descriptor(oci.INDEX, data)))):
        files.write_whole(path, content)
