"""Runs a program of rules_setcap by an interpreter in isolation.

    launch.py PACKAGE IMPORTS ARGUMENT...

PACKAGE is the program's; its module `__main__` has main(). IMPORTS are directories to import from, relative to the
runfiles and separated by colons; "" if the program needs only this directory.
"""

import os
import sys
from importlib import import_module


def main() -> None:
    """Replaces this program's arguments and import path, and runs the program."""
    package, imports = sys.argv[1:3]
    # Not the real path, which Python puts first on the import path: Bazel links sources into place one by one. And absolute,
    # because the program may change its working directory before it has imported everything.
    tools = os.path.dirname(os.path.abspath(__file__))
    runfiles = os.path.dirname(os.path.dirname(tools))
    sys.path[:1] = [tools, *(os.path.join(runfiles, directory) for directory in imports.split(":") if directory)]
    sys.argv[1:3] = []
    sys.exit(import_module(f"{package}.__main__").main())


if __name__ == "__main__":
    main()
