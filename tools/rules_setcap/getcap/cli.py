"""The entry point of getcap: chooses the command."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.console import run_program
from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.diagnostics.program_names import GETCAP

if TYPE_CHECKING:
    from collections.abc import Sequence


_OTHER_COMMANDS = {
    "--explain": "getcap explain IMAGE",
    "help": "getcap --help",
    "list": "getcap IMAGE",
    "review": "getcap --review IMAGE",
    "version": "getcap --version",
}
"""By a first argument that users of other programs may write, the command to write instead."""


def main(arguments: Sequence[str]) -> int:
    """Runs getcap.

    Args:
      arguments: the command line, without the program's name.

    Returns:
      The exit status, as exit_statuses describes it.
    """
    return run_program(GETCAP.program, _run_command, arguments)


def _run_command(arguments: Sequence[str]) -> int:
    """Runs the command that the arguments select and returns its exit status.

    Each command is imported when it runs: listing needs neither the models of the runtimes nor PyYAML.
    """
    if arguments[:1] == ["explain"]:
        from rules_setcap.getcap.explain import run_explain

        return run_explain(arguments[1:], GETCAP)
    _reject_other_command(arguments)
    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--review" in flags:
        from rules_setcap.getcap.review_command import review_images

        position = arguments.index("--review")
        return review_images([*arguments[:position], *arguments[position + 1 :]], GETCAP)
    from rules_setcap.getcap.list_command import list_capabilities

    return list_capabilities(arguments, GETCAP)


def _reject_other_command(arguments: Sequence[str]) -> None:
    """Reports a first argument that is meant as a command.

    Raises:
      InputError: with the command to write.
    """
    word = arguments[0] if arguments else ""
    if word in _OTHER_COMMANDS and not os.path.lexists(word):
        raise InputError([format_problem("command", word, f'no such command or file; write "{_OTHER_COMMANDS[word]}"')])
