"""Writes a layout as one tar."""

from __future__ import annotations

from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import export

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    name = files.read_json(arguments.one("destination"))["name"]
    layout, output = arguments.one("layout"), arguments.one("output")
    platform = arguments.one("platform", "")
    arguments.end()
    if problems:
        raise InputError(problems)
    with files.whole(output) as stream:
        export.write(stream, layout, name, platform)
