"""Runs the program that fetches layers: launch.py rules_setcap.bases.commands "" fetch FLAG..."""

from typing import NoReturn

from rules_setcap.actions import command


def main() -> NoReturn:
    """Runs the command that the command line names."""
    command.run_tool_and_exit("rules_setcap.bases.commands")
