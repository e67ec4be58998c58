"""Runs reproduce from the shell: `bazel run @rules_setcap//tools/reproduce -- TARGET...`."""

import os
import sys

from rules_setcap.reproduce import cli


def main() -> int:
    """Runs reproduce with the arguments of this process and returns the exit status."""
    # `bazel run` changes the working directory; relative paths are relative to the directory of the user's shell.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
