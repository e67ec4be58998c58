"""Runs the packer: python3 -S -E -s -B tools/packer SUBCOMMAND FLAG..."""

import os
import sys

# In place of this folder, the one above: packer and capabilities are packages of it.
# Not the real path: Bazel links sources into place one by one.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from packer.cli import main  # noqa: E402

if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    # To free what many entries held, one by one, takes as long as to start.
    os._exit(status)
