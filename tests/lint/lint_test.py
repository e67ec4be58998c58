"""The linters have nothing to say about the source tree: ruff, mypy in strict mode, and a spelling check."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import ruff

# The source tree, which is not an input of the test: `tags = ["external"]` runs it every time.
ROOT = pathlib.Path("pyproject.toml").resolve().parent
NOT_PROSE = {".golden", ".json", ".png", ".sum", ".svg", ".tar", ".tsv", ".txt"}


def _run(*command: str, cwd: pathlib.Path = ROOT) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _ruff() -> str:
    """Returns the path of ruff's program, which pip installs beside the package or one level above it."""
    package = pathlib.Path(ruff.__file__).parent
    return next(str(path) for above in package.parents[:3] if (path := above / "bin" / "ruff").exists())


def test_ruff_finds_nothing():
    _run(_ruff(), "check", "--no-cache", "--output-format=concise", ".")


def test_the_code_is_formatted():
    _run(_ruff(), "format", "--no-cache", "--diff", ".")


def test_the_tools_are_typed(tmp_path):
    _run(
        sys.executable,
        "-m",
        "mypy",
        f"--config-file={ROOT}/pyproject.toml",
        f"--cache-dir={tmp_path}",
        "-p",
        "rules_setcap",
        "-p",
        "imagecap",
        cwd=ROOT / "tools",
    )


def test_words_are_spelt_right():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [path for path in listed.split("\0") if path and pathlib.Path(path).suffix not in NOT_PROSE]
    _run(sys.executable, "-m", "codespell_lib", *paths)
