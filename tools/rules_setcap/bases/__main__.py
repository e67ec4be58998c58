"""Runs update_bases: launch.py rules_setcap.bases IMPORTS FLAG..."""

import os
import sys

from rules_setcap.bases import update_command
from rules_setcap.diagnostics.console import prepare_process


def main() -> int:
    """Runs the program; returns the exit status."""
    workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY", "")
    prepare_process()
    return update_command.main(sys.argv[1:], workspace or os.getcwd())
