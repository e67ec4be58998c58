"""Programs in Go, of its standard library alone."""

from __future__ import annotations

import os
import pathlib
import subprocess

from support import require


def build(source: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    """The program of one file, built in `directory`; the library is compiled once for all programs of a test."""
    program = directory / "program"
    cache = os.path.join(os.environ["TEST_TMPDIR"], "go")
    subprocess.run(
        [require.tool("go"), "build", "-o", str(program), str(source.resolve())],
        check=True,
        cwd=directory,
        env={**os.environ, "GOCACHE": cache, "GOTOOLCHAIN": "local", "HOME": str(directory)},
    )
    return program
