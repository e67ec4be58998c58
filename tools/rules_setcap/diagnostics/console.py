"""What the programs that users run have in common: their process, their output, and what becomes of exceptions."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.command_line import CLOSED, INTERRUPTED
from rules_setcap.diagnostics.errors import INTERNAL, InputError, escape, format_internal_error, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def prepare_process() -> None:
    """Changes to the directory of the user's shell, and lets stdout and stderr escape characters that their encoding lacks."""
    # `bazel run` changes the working directory; relative paths are relative to the directory of the user's shell.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    codecs.register_error("escape", _escape_character)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="escape")


def run_program(program: str, command: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Runs a command, and turns exceptions into messages and an exit status.

    Args:
      program: the name of the program, which begins each message.
      command: gets the arguments and returns the exit status.
      arguments: the command line, without the program's name.

    Returns:
      The exit status: that of the command; 2 if an input is not valid, or one of command_line.SHARED_STATUSES.
    """
    try:
        status = command(arguments)
        sys.stdout.flush()
        return status
    except InputError as error:
        for message in error.problems:
            print_error(program, message)
    except BrokenPipeError:
        _discard_output()  # The reader of stdout has exited.
        return CLOSED
    except OSError as error:
        print_error(
            program, f"{escape(str(error.filename))}: {error.strerror}" if error.filename else error.strerror or str(error)
        )
        try:
            sys.stdout.flush()
        except OSError:
            _discard_output()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        # Python exits with 1 after an uncaught exception, but 1 is a result of the programs.
        print_error(program, format_internal_error(error))
        return INTERNAL
    return 2


def _discard_output() -> None:
    """Discards the rest of stdout, which cannot be written: the interpreter's flush at exit would report the error again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(program: str, message: str) -> None:
    """Prints a message as one line on stderr."""
    print(f"{program}: {printable(message)}", file=sys.stderr)


def format_json(value: object) -> str:
    """Returns indented JSON in printable ASCII."""
    return json.dumps(value, indent=2).replace("\x7f", "\\u007f")


def _escape_character(error: UnicodeError) -> tuple[str, int]:
    """Escapes a character that the output's encoding lacks, as diagnostics.errors.escape() does.

    It is an error handler for codecs.register_error().
    """
    assert isinstance(error, UnicodeEncodeError)
    code = ord(error.object[error.start])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}", error.start + 1
