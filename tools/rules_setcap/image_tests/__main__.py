"""Runs the check of a test rule: launch.py rules_setcap.image_tests IMPORTS COMMAND FLAG..."""

import sys

from rules_setcap.image_tests import cli


def main() -> int:
    """Runs the program; returns the exit code."""
    return cli.main(sys.argv[1:])
