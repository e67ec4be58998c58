"""python3 -m getcap PATH..., with tools/ on PYTHONPATH; or bazel run @rules_setcap//tools/getcap -- PATH..."""

import io
import os
import sys

from getcap.cli import main

if __name__ == "__main__":
    # Under bazel run, paths are meant as where the user is.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # Whatever the locale, names are printed.
    sys.exit(main(sys.argv[1:]))
