"""Links the files of an OCI image layout into a directory."""

from __future__ import annotations

from .. import layout
from ..errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    index, attribute, output = (arguments.one(name) for name in ("index", "attribute", "output"))
    files = arguments.all("file")
    arguments.end()
    if problems:
        raise InputError(problems)
    layout.link(output, index, files, attribute)
