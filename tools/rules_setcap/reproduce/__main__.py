"""Runs reproduce from the shell: `bazel run @rules_setcap//tools/reproduce -- TARGET...`."""

import sys

from rules_setcap.diagnostics.console import prepare_process
from rules_setcap.reproduce import cli


def main() -> int:
    """Runs reproduce with the arguments of this process and returns the exit status."""
    prepare_process()
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
