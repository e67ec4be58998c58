"""Runs the program that checks programs: launch.py rules_setcap.validation "" SUBCOMMAND FLAG..."""

from typing import NoReturn

from rules_setcap.actions import command


def main() -> NoReturn:
    """Runs the subcommand that the command line names."""
    command.run_tool_and_exit("rules_setcap.validation.commands")
