"""Runs image_diff from the shell.

With Bazel: `bazel run @rules_setcap//tools/image_diff -- A B`. Without it: `python3 -m rules_setcap.diff A B`, with tools/ on
PYTHONPATH.
"""

import sys

from rules_setcap.diagnostics.console import prepare_process
from rules_setcap.diff import cli


def main() -> int:
    """Runs image_diff with the arguments of this process and returns the exit status."""
    prepare_process()
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
