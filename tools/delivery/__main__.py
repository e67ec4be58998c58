"""Runs a delivery: python3 -S -E -s -B tools/delivery RUNFILES SPEC FLAG..., as rules/private/delivery.bzl starts it."""

import os
import sys

# In place of this folder, the one above: delivery, packer and capabilities are packages of it.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from delivery.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
