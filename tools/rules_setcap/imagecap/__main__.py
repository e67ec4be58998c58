"""Runs imagecap from the shell.

With Bazel: `bazel run @rules_setcap//tools/imagecap -- COMMAND...`. Without it: `python3 -m rules_setcap.imagecap COMMAND...`,
with tools/ on PYTHONPATH.
"""

import sys

from rules_setcap.diagnostics.console import prepare_process
from rules_setcap.imagecap import cli


def main() -> int:
    """Runs imagecap with the arguments of this process and returns the exit status."""
    prepare_process()
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
