"""Links the layouts of images into that of their index."""

from __future__ import annotations

from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments


def run_command(arguments: Arguments, problems: list[str]) -> None:
    contents = {name: files.read_file(arguments.take_value(name)) for name in ("index", "descriptor")}
    layouts, output = arguments.take_values("layout"), arguments.take_value("output")
    arguments.check_all_taken()
    if problems:
        raise InputError(problems)
    layout.write_index(output, layouts=layouts, **contents)
