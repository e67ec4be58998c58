"""python3 -m rules_setcap.getcap PATH..., with tools/ on PYTHONPATH; or bazel run @rules_setcap//tools/getcap -- PATH..."""

import codecs
import io
import os
import sys

from rules_setcap.getcap import cli


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Escapes a character that an encoding lacks as diagnostics.errors.escape() does; an error handler of codecs."""
    assert isinstance(error, UnicodeEncodeError)
    code = ord(error.object[error.start])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}", error.start + 1


def main() -> int:
    """Runs the command line; returns the exit status."""
    # Under `bazel run`, relative paths start at the directory where the user typed the command.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    codecs.register_error("escape", _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="escape")
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
