"""Runs getcap from the shell.

With Bazel: `bazel run @rules_setcap//tools/getcap -- PATH...`. Without it: `python3 -m rules_setcap.getcap PATH...`, with
tools/ on PYTHONPATH.
"""

import codecs
import io
import os
import sys

from rules_setcap.getcap import cli


def _escape_character(error: UnicodeError) -> tuple[str, int]:
    """Escapes a character that the output's encoding lacks, as diagnostics.errors.escape() does.

    It is an error handler for codecs.register_error().
    """
    assert isinstance(error, UnicodeEncodeError)
    code = ord(error.object[error.start])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}", error.start + 1


def main() -> int:
    """Runs getcap with the arguments of this process and returns the exit status."""
    # `bazel run` changes the working directory; relative paths are relative to the directory of the user's shell.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    codecs.register_error("escape", _escape_character)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="escape")
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
