"""Links the files of an OCI image layout into a directory."""

from __future__ import annotations

from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments


def run_command(arguments: Arguments, problems: list[str]) -> None:
    index, attribute, output = (arguments.take_value(name) for name in ("index", "attribute", "output"))
    files = arguments.take_values("file")
    arguments.check_all_taken()
    if problems:
        raise InputError(problems)
    layout.link(output, index, files, attribute)
