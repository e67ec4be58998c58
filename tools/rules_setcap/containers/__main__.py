"""Writes the runtime settings that an image needs; rules/private/settings.bzl runs it.

    --layer=METADATA... --config=FILE --service=NAME --docker=FILE --podman=FILE --compose=FILE --kubernetes=FILE

METADATA is a layer's (tools/packer/layer.py), or the contents of a base; FILE of --config is the image's config. The
settings grant the capabilities that files of the merged root filesystem have.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rules_setcap import capabilities
from rules_setcap.containers import needs
from rules_setcap.containers.engines import Engine
from rules_setcap.diagnostics.files import read_json, write_whole
from rules_setcap.oci.merged import Merged


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False, fromfile_prefix_chars="@")
    parser.add_argument("--layer", action="append", default=[])
    for flag in ("config", "service", "docker", "podman", "compose", "kubernetes"):
        parser.add_argument(f"--{flag}", required=True)
    options = parser.parse_args()
    merged = Merged()
    for path in options.layer:
        merged.apply(read_json(path))
    if problems := merged.problems + merged.uncertain():
        sys.exit("\n".join(problems))
    needed = 0
    for text in merged.capabilities.values():
        known = capabilities.from_text(text)
        needed |= known.permitted | known.inheritable
    for engine in ("docker", "podman"):
        flags = " ".join(needs.format_flags(needed, Engine(engine))) + "\n"
        write_whole(getattr(options, engine), flags.encode())
    write_whole(options.compose, needs.format_compose_service(needed, options.service).encode())
    first = set(merged.capabilities) == {_first_program(merged, read_json(options.config))}
    write_whole(options.kubernetes, needs.format_security_context(needed, first_program=first).encode())


def _first_program(merged: Merged, config: dict[str, Any]) -> str:
    """Returns the path of the first file that a container executes; "" if that is not known.

    A program that is looked up on PATH is not known: the settings of a container may change that.
    """
    of_containers = config.get("config") or {}
    argv = [*(of_containers.get("Entrypoint") or ()), *(of_containers.get("Cmd") or ())]
    path = merged.file(argv[0]) if argv and argv[0].startswith("/") else ""
    return "" if path in merged.scripts else path


if __name__ == "__main__":
    main()
