"""Writes what runtimes must be told for an image: rules/private/settings.bzl runs it.

    --layer=METADATA... --service=NAME --docker=FILE --podman=FILE --compose=FILE --kubernetes=FILE

METADATA are the layers' (tools/packer/layer.py); what they carry is what is needed.
"""

import argparse
import json
import os
import sys

# In place of this folder, the one above: runtimes, packer and capabilities are packages of it.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

import capabilities  # noqa: E402
from packer.files import write_whole  # noqa: E402
from runtimes import Runtime, needs  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False, fromfile_prefix_chars="@")
    parser.add_argument("--layer", action="append", default=[])
    for flag in ("service", "docker", "podman", "compose", "kubernetes"):
        parser.add_argument(f"--{flag}", required=True)
    options = parser.parse_args()
    carried: dict[str, str] = {}
    for path in options.layer:
        with open(path, encoding="utf-8") as file:
            metadata = json.load(file)
        carried.update(metadata["capabilities"])
        for removed in metadata.get("removed", ()):
            carried.pop(removed, None)
    needed = 0
    for text in carried.values():
        known = capabilities.from_text(text)
        needed |= known.permitted | known.inheritable
    for engine in ("docker", "podman"):
        flags = " ".join(needs.docker_flags(needed, Runtime(engine))) + "\n"
        write_whole(getattr(options, engine), flags.encode())
    write_whole(options.compose, needs.compose(needed, options.service).encode())
    write_whole(options.kubernetes, needs.kubernetes(needed).encode())


if __name__ == "__main__":
    main()
