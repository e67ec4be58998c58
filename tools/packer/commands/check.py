"""Looks for what would keep programs from their capabilities, or from starting with them."""

from __future__ import annotations

import json

import capabilities

from .. import checks, files
from ..errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    output, off = arguments.one("output"), json.loads(arguments.one("off"))
    carried: dict[str, str] = {}
    for path in arguments.all("layer"):
        metadata = files.read_json(path)
        carried.update(metadata["capabilities"])
        for removed in metadata.get("removed", ()):
            carried.pop(removed, None)
    config: dict[str, Any] = {}
    if path := arguments.one("config", ""):
        config = files.read_json(path)
    said = zip(arguments.all("program"), arguments.all("source"))
    programs = [checks.Program(**json.loads(program), source=source) for program, source in said]
    arguments.end()

    # An empty set raises nothing, and keeps nothing from its libraries.
    values = {path: capabilities.from_text(text) for path, text in carried.items()}
    capable = {path for path, value in values.items() if value.permitted | value.inheritable}
    started = [word for name in ("Entrypoint", "Cmd") for word in config.get("config", {}).get(name) or ()]
    problems += checks.unknown(off)
    for program in programs:
        if program.path in capable:
            problems += checks.check(program, config.get("architecture", ""), started, capable)
    if problems:
        raise InputError(problems)
    files.write_whole(output, b"")
