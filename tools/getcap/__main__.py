"""python3 -m getcap PATH..., with tools/ on PYTHONPATH; or bazel run @rules_setcap//tools/getcap -- PATH..."""

import codecs
import io
import os
import sys

from getcap.cli import main


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Escapes a character that an encoding lacks as packer.errors.escape() does; an error handler of codecs."""
    assert isinstance(error, UnicodeEncodeError)
    code = ord(error.object[error.start])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}", error.start + 1


if __name__ == "__main__":
    # Under bazel run, paths are meant as where the user is.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    codecs.register_error("escape", _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="escape")
    sys.exit(main(sys.argv[1:]))
