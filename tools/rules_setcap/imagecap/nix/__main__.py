"""Builds a derivation of Nix, or runs the script that one has built.

launch.py rules_setcap.imagecap.nix ""                              builds what NIX_ATTRS_JSON_FILE describes
launch.py rules_setcap.imagecap.nix "" REQUEST [ARGUMENT...]        runs a stream, and changes the image that it writes
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.console import run_program
from rules_setcap.imagecap.nix import builder

if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> int:
    """Runs the program, and returns the exit status."""
    if len(sys.argv) > 1:
        return run_program("streamWithCapabilities", builder.stream_image, sys.argv[1:])
    with open(os.environ["NIX_ATTRS_JSON_FILE"], encoding="utf-8") as file:
        attributes = json.load(file)

    def build(_arguments: Sequence[str]) -> int:
        return builder.build(attributes)

    return run_program(attributes["function"], build, [])


if __name__ == "__main__":
    sys.exit(main())
