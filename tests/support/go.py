"""Programs in Go, of its standard library alone."""

from __future__ import annotations

import os
import pathlib
import subprocess

from support import require


def build(source: pathlib.Path, directory: pathlib.Path, **environment: str) -> pathlib.Path:
    """Builds a program of one file; the standard library is compiled once for all programs of a test.

    Args:
      source: the file.
      directory: where the program is put; it is there.
      **environment: variables of the environment, as GOOS.

    Returns:
      The path of the program.
    """
    program = directory / "program"
    cache = os.path.join(os.environ["TEST_TMPDIR"], "go")
    subprocess.run(
        [require.tool("go"), "build", "-o", str(program), str(source.resolve())],
        check=True,
        cwd=directory,
        env={**os.environ, "GOCACHE": cache, "GOTOOLCHAIN": "local", "HOME": str(directory), **environment},
    )
    return program
