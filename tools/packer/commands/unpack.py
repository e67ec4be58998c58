"""Turns an image in one file into an OCI image layout directory."""

from __future__ import annotations

from .. import unpack
from ..errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    output, source = arguments.one("output"), arguments.one("archive")
    arguments.end()
    if problems:
        raise InputError(problems)
    unpack.write(output, source)
