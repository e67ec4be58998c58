"""Runs a tool of rules_setcap with an interpreter that is isolated from the host's Python packages.

    launch.py PACKAGE IMPORTS ARGUMENT...

PACKAGE is the package of the tool, whose module `__main__` has a function main(). IMPORTS are directories of Python packages,
relative to the runfiles directory and separated by colons; "" if the tool needs only this directory.
"""

import os
import sys
from importlib import import_module


def main() -> None:
    """Sets the import path and the arguments, and runs the tool."""
    package, imports = sys.argv[1:3]
    # Bazel links the sources into place one by one. Python puts the real directory of this file first on the import path, which
    # is not where the links are. The path is absolute, because a tool may change its working directory before it has imported
    # everything.
    tools = os.path.dirname(os.path.abspath(__file__))
    runfiles = os.path.dirname(os.path.dirname(tools))
    sys.path[:1] = [tools, *(os.path.join(runfiles, directory) for directory in imports.split(":") if directory)]
    sys.argv[1:3] = []
    sys.exit(import_module(f"{package}.__main__").main())


if __name__ == "__main__":
    main()
