"""Runs a module from the runfiles, as rules/private/launcher.bzl starts it.

    launch.py RUNFILES MODULE IMPORTS ARGUMENT...

IMPORTS are directories to import from, relative to RUNFILES and separated by colons.
"""

import os
import runpy
import sys


def main() -> None:
    """Replaces this program's arguments and import path, and runs the module."""
    runfiles, module, imports = sys.argv[1:4]
    # Absolute: the module may change its working directory before it has imported everything.
    sys.path[:1] = [os.path.abspath(os.path.join(runfiles, directory)) for directory in imports.split(":")]
    sys.argv[1:4] = []
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
