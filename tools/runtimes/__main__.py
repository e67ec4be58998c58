"""Writes the runtime settings that an image needs; rules/private/settings.bzl runs it.

    --layer=METADATA... --service=NAME --docker=FILE --podman=FILE --compose=FILE --kubernetes=FILE

METADATA is a layer's (tools/packer/layer.py), or the contents of a base. The settings grant the capabilities that
files of the merged root filesystem have.
"""

import argparse
import os
import sys

# In place of this folder, the one above: runtimes, packer and capabilities are packages of it.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

import capabilities  # noqa: E402
from packer.files import read_json, write_whole  # noqa: E402
from packer.merged import Merged  # noqa: E402
from runtimes import Runtime, needs  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False, fromfile_prefix_chars="@")
    parser.add_argument("--layer", action="append", default=[])
    for flag in ("service", "docker", "podman", "compose", "kubernetes"):
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
        flags = " ".join(needs.docker_flags(needed, Runtime(engine))) + "\n"
        write_whole(getattr(options, engine), flags.encode())
    write_whole(options.compose, needs.compose(needed, options.service).encode())
    write_whole(options.kubernetes, needs.kubernetes(needed).encode())


if __name__ == "__main__":
    main()
