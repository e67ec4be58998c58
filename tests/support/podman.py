"""Runs podman as root, with a storage of its own."""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess

from support import require


def write_program(state: pathlib.Path, driver: str = "vfs") -> pathlib.Path:
    """Writes a script `podman` that runs podman with a storage of its own, and returns its path.

    Args:
      state: an empty directory for all files of podman.
      driver: the storage driver; vfs unpacks each layer over a copy of those below, overlay into a directory of its own.
    """
    require.root()
    script = state / "bin" / "podman"
    script.parent.mkdir()
    flags = f"--root={state}/root --runroot={state}/run --tmpdir={state}/tmp --storage-driver={driver} --events-backend=none"
    script.write_text(f'#!/bin/sh\nPATH={shlex.quote(os.environ["PATH"])} exec {require.tool("podman")} {flags} "$@"\n')
    script.chmod(0o755)
    return script


def run(podman: pathlib.Path, *arguments: str) -> str:
    """Runs a command of podman, and returns its output."""
    environment = {**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1", "HOME": str(podman.parent)}
    return subprocess.run(
        [str(podman), *arguments], check=True, stdout=subprocess.PIPE, text=True, env=environment
    ).stdout.strip()
