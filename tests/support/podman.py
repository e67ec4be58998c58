"""podman as root, with a storage of its own."""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess

from support import require


def program(state: pathlib.Path, driver: str = "vfs") -> pathlib.Path:
    """Returns podman, as the program of that name in a directory of its own.

    Args:
      state: an empty directory, where all that it keeps goes.
      driver: the storage driver; vfs unpacks each layer over a copy of those below, overlay each by itself.
    """
    require.root()
    made = state / "bin" / "podman"
    made.parent.mkdir()
    flags = f"--root={state}/root --runroot={state}/run --tmpdir={state}/tmp --storage-driver={driver} --events-backend=none"
    made.write_text(f'#!/bin/sh\nPATH={shlex.quote(os.environ["PATH"])} exec {require.tool("podman")} {flags} "$@"\n')
    made.chmod(0o755)
    return made


def run(podman: pathlib.Path, *arguments: str) -> str:
    """What a command of program() prints."""
    environment = {**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1", "HOME": str(podman.parent)}
    return subprocess.run([str(podman), *arguments], check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout.strip()
