"""Pushes or loads an image: launch.py rules_setcap.delivery "" SPEC FLAG..., which rules/private/delivery.bzl writes."""

import sys

from rules_setcap.delivery import cli


def main() -> int:
    """Runs the program; returns the exit code."""
    return cli.main(sys.argv[1:])
