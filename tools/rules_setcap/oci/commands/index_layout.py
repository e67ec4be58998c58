"""Links the layouts of images into that of their index."""

from __future__ import annotations

from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    contents = {name: files.read(arguments.one(name)) for name in ("index", "descriptor")}
    layouts, output = arguments.all("layout"), arguments.one("output")
    arguments.end()
    if problems:
        raise InputError(problems)
    layout.write_index(output, layouts=layouts, **contents)
