"""Loads an image into a container engine of this machine: as a stream, so that no archive is kept."""

from __future__ import annotations

import subprocess
import sys

from packer import export

from .errors import DeliveryError
from .programs import Program

_ENGINES = {"docker": ("load",), "podman": ("load",), "nerdctl": ("load",)}
"""What each is asked, to take an archive from its standard input."""


def load(layout: str, name: str, program: Program) -> None:
    """Loads; prints the name that the engine then knows.

    Args:
      layout: OCI layout directory.
      name: host/path:tag.
      program: the engine.

    Raises:
      DeliveryError: it is not loaded.
    """
    engine, path, command = program.find(_ENGINES, "container engine", "@rules_setcap//rules:container_engine_toolchain_type")
    process = subprocess.Popen([path, *command], stdin=subprocess.PIPE, stdout=sys.stderr)
    assert process.stdin
    try:
        with process.stdin as stream:
            export.write(stream, layout, name)
    except BrokenPipeError:
        pass  # The engine says why.
    if status := process.wait():
        raise DeliveryError(f"{engine} has not loaded {name} (exit code {status})")
    print(name)
