"""Writes a layout as one tar."""

from __future__ import annotations

from .. import export, files
from ..errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    name = files.read_json(arguments.one("destination"))["name"]
    layout, output = arguments.one("layout"), arguments.one("output")
    platform = arguments.one("platform", "")
    arguments.end()
    if problems:
        raise InputError(problems)
    with files.whole(output) as stream:
        export.write(stream, layout, name, platform)
