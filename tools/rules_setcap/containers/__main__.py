"""Writes the container settings that an image needs, for each engine; rules/private/runtime_settings.bzl runs it.

    --layer=METADATA... --config=FILE --service=NAME --docker=FILE --podman=FILE --compose=FILE --kubernetes=FILE

METADATA is the metadata of a layer (tools/rules_setcap/packer/layer_writer.py) or the contents of a base. FILE of --config is the
image's config. The settings grant the capabilities that are assigned to files of the merged root filesystem.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rules_setcap import capabilities
from rules_setcap.containers import needs
from rules_setcap.containers.engines import Engine
from rules_setcap.diagnostics.files import read_json, write_whole
from rules_setcap.oci.merged_contents import MergedContents


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(allow_abbrev=False, fromfile_prefix_chars="@")
    parser.add_argument("--layer", action="append", default=[])
    for flag in ("config", "service", "docker", "podman", "compose", "kubernetes"):
        parser.add_argument(f"--{flag}", required=True)
    options = parser.parse_args()
    merged = MergedContents()
    for path in options.layer:
        merged.apply_layer(read_json(path))
    if problems := merged.problems + merged.describe_uncertain_files():
        sys.exit("\n".join(problems))
    needed = 0
    for text in merged.capabilities.values():
        file_capabilities = capabilities.from_text(text)
        needed |= file_capabilities.permitted | file_capabilities.inheritable
    for name in ("docker", "podman"):
        flags = " ".join(needs.format_flags(needed, Engine(name))) + "\n"
        write_whole(getattr(options, name), flags.encode())
    write_whole(options.compose, needs.format_compose_service(needed, options.service).encode())
    first_program = set(merged.capabilities) == {_find_first_program(merged, read_json(options.config))}
    write_whole(options.kubernetes, needs.format_security_context(needed, first_program=first_program).encode())


def _find_first_program(merged: MergedContents, config: dict[str, Any]) -> str:
    """Returns the path of the first file that a container executes; "" if that is not known.

    A program that is looked up on PATH is not known, because the settings of a container may change PATH.

    Args:
      merged: the merged root filesystem.
      config: the image's config.
    """
    execution = config.get("config") or {}
    argv = [*(execution.get("Entrypoint") or ()), *(execution.get("Cmd") or ())]
    path = merged.find_file(argv[0]) if argv and argv[0].startswith("/") else ""
    return "" if path in merged.scripts else path


if __name__ == "__main__":
    main()
