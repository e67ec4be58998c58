"""Pushes or loads an image: launch.py rules_setcap.delivery "" SPEC FLAG..., as rules/private/delivery.bzl starts it."""

import sys

from rules_setcap.delivery import cli


def main() -> int:
    """Runs the program; returns the exit status."""
    return cli.main(sys.argv[1:])
