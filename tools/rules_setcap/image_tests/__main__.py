"""Runs the check of a test rule: launch.py rules_setcap.image_tests IMPORTS SUBJECT FLAG..."""

import sys

from rules_setcap.image_tests import cli


def main() -> int:
    """Runs the program; returns the exit status."""
    return cli.main(sys.argv[1:])
