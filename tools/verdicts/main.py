"""Writes the report of a test; an empty one if all is well. rules/private/verdict.bzl runs it.

    capabilities --target=LABEL --report=FILE --image=LAYOUT --expected=JSON
    digest --target=LABEL --report=FILE --image=LAYOUT --digest=DIGEST
    kubernetes --target=LABEL --report=FILE --image=LAYOUT --name=IMAGE --runtime=RUNTIME --level=LEVEL --manifest=FILE...

The exit status is 0 whatever the report says; 1, and no report, if the target is wrong; 2 if it is called wrongly.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from getcap import images
from packer.errors import InputError
from packer.files import write_whole


def main(arguments: Sequence[str]) -> int:
    """Runs a subcommand; returns the exit status."""
    parser = argparse.ArgumentParser(allow_abbrev=False, fromfile_prefix_chars="@")
    parser.add_argument("subject", choices=["capabilities", "digest", "kubernetes"])
    for flag in ("target", "report", "image"):
        parser.add_argument(f"--{flag}", required=True)
    parser.add_argument("--expected", default="{}")
    for flag in ("digest", "name", "runtime", "level"):
        parser.add_argument(f"--{flag}", default="")
    parser.add_argument("--manifest", action="append", default=[])
    options = parser.parse_args(arguments)
    try:
        if options.subject == "digest":
            from . import digests

            said = digests.check(options.image, options.digest, options.target)
        elif options.subject == "capabilities":
            from . import contents

            said = contents.check(images.read(options.image), json.loads(options.expected))
        else:
            from . import manifests

            said = manifests.check(images.read(options.image), options.manifest, options.name, options.runtime, options.level)
    except InputError as error:
        for text in error.problems:
            print(f"{options.target}: {text}", file=sys.stderr)
        return 1
    write_whole(options.report, "".join(f"{options.target}: {text}\n" for text in said).encode())
    return 0
