"""Runs update_bases: launch.py rules_setcap.bases IMPORTS FLAG..."""

import os
import sys

from rules_setcap.bases import update_command
from rules_setcap.diagnostics.console import prepare_process
from rules_setcap.diagnostics.programs import interrupt_on_signals


def main() -> int:
    """Runs the program; returns the exit status."""
    workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY", "")
    prepare_process()
    interrupt_on_signals()
    return update_command.main(sys.argv[1:], workspace or os.getcwd())
