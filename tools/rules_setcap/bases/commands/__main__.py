"""Runs the program that fetches layers: launch.py rules_setcap.bases.commands "" fetch FLAG..."""

from typing import NoReturn

from rules_setcap.actions import command
from rules_setcap.diagnostics.programs import interrupt_on_signals


def main() -> NoReturn:
    """Runs the command that the command line names."""
    interrupt_on_signals()
    command.run_tool_and_exit("rules_setcap.bases.commands")
