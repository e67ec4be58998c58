"""Writes a layout as one tar."""

from __future__ import annotations

from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import export

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments


def run_command(arguments: Arguments, problems: list[str]) -> None:
    name = files.read_json(arguments.take_value("destination"))["name"]
    layout, output = arguments.take_value("layout"), arguments.take_value("output")
    platform = arguments.take_value("platform", "")
    arguments.check_all_taken()
    if problems:
        raise InputError(problems)
    with files.open_new_file(output) as stream:
        export.write(stream, layout, name, platform)
