"""Runs the check of a test rule: launch.py rules_setcap.image_tests IMPORTS COMMAND FLAG..."""

import sys

from rules_setcap.image_tests import cli


def main() -> int:
    """Runs the program; returns the exit code."""
    if sys.argv[1:2] == ["resolve"]:
        from rules_setcap.image_tests import resolve  # Only the tool of Kubernetes has this module.

        return resolve.main(sys.argv[2:])
    if sys.argv[1:2] == ["divide"]:
        from rules_setcap.image_tests import manifest_bundles

        return manifest_bundles.main(sys.argv[2:])
    return cli.main(sys.argv[1:])
