"""Standard input in place of a file: a command line names it "-"."""

from __future__ import annotations

import sys
import tempfile
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, format_problem, quote

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from rules_setcap.diagnostics.command_line import CommandParser

STANDARD_INPUT = "-"
_BLOCK_SIZE = 1 << 20


def reject_repeated_standard_input(parser: CommandParser, paths: Iterable[str | None]) -> None:
    """Exits with an error if several paths of a command line are standard input, which can be read once."""
    if sum(path == STANDARD_INPUT for path in paths) > 1:
        parser.error('"-" is standard input, which can be read once; write "-" once, and a file in place of the others')


def open_standard_input(argument: str, example: str) -> BinaryIO:
    """Returns standard input as bytes.

    Args:
      argument: the argument that is "-", for messages.
      example: a command line that writes to it.

    Raises:
      InputError: it is closed, or a terminal.
    """
    if sys.stdin is None:  # The interpreter finds the descriptor closed.
        raise InputError([format_problem(argument, STANDARD_INPUT, f'standard input is closed; write to it: "{example}"')])
    if sys.stdin.isatty():
        raise InputError([format_problem(argument, STANDARD_INPUT, f'standard input is a terminal; write to it: "{example}"')])
    return sys.stdin.buffer


def make_empty_error(argument: str) -> InputError:
    """Returns the error for standard input without a byte; `argument` is the argument that is "-"."""
    return InputError(
        [format_problem(argument, STANDARD_INPUT, "standard input is empty; the command that writes to it may have failed")]
    )


def copy_standard_input(stream: BinaryIO, path: str) -> None:
    """Copies an image from standard input to a file.

    Args:
      stream: standard input, from open_standard_input().
      path: the path of the file.

    Raises:
      InputError: standard input is empty or too large, or the file cannot be written.
    """
    size = 0
    try:
        with open(path, "wb") as file:
            while block := stream.read(_BLOCK_SIZE):
                size += len(block)
                if size > limits.STANDARD_INPUT:
                    what = (
                        f"more than {limits.STANDARD_INPUT} bytes of standard input (limit STANDARD_INPUT); name a file instead"
                    )
                    raise InputError([format_problem("image", STANDARD_INPUT, what)])
                file.write(block)
    except OSError as error:
        directory = quote(tempfile.gettempdir())
        what = (
            f"standard input cannot be copied to {directory}: {error.strerror}; set TMPDIR to another directory, or name a file"
        )
        raise InputError([format_problem("image", STANDARD_INPUT, what)]) from None
    if not size:
        raise make_empty_error("image")
