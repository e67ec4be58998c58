"""Builds programs in Go that need only its standard library."""

from __future__ import annotations

import os
import pathlib
import subprocess

from support import require


def build(source: pathlib.Path, directory: pathlib.Path, **environment: str) -> pathlib.Path:
    """Builds a program of one file. The standard library is compiled once for all programs of a test.

    Args:
      source: the file.
      directory: an existing directory that gets the program.
      **environment: environment variables, such as GOOS.

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
