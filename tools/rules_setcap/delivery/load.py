"""Loads an image into a container engine of this machine. It is written as a stream, without a file in between."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from rules_setcap.delivery.errors import DeliveryError
from rules_setcap.diagnostics.errors import format_problem
from rules_setcap.oci import archive_export, reference

if TYPE_CHECKING:
    from rules_setcap.delivery.clients import Client

_LOAD_COMMANDS = {"docker": ("load",), "podman": ("load",), "nerdctl": ("load",)}
"""The arguments with which each engine reads an archive from its standard input."""

_PLATFORM_COMMANDS = {"docker": ("version", "{{.Server.Os}}/{{.Server.Arch}}"), "podman": ("info", "{{.Version.OsArch}}")}
"""The command and the template with which engines print their platform, for those that load only one image of an index."""


def load_image(layout: str, name: str, label: str, client: Client) -> None:
    """Loads an image, and prints the name by which the engine runs it.

    Args:
      layout: the path of the OCI layout directory.
      name: the name of the image with its tag; it may have no registry.
      label: the label of the image, for messages.
      client: the container engine.

    Raises:
      DeliveryError: the engine has not loaded the image.
      InputError: the layout is not valid.
    """
    toolchain_type = "@rules_setcap//rules:container_engine_toolchain_type"
    engine, path, command = client.find_program(_LOAD_COMMANDS, "container engine", toolchain_type)
    if engine == "podman":
        name = reference.expand_podman_name(name)
    needs_platform = engine in _PLATFORM_COMMANDS and archive_export.holds_index(layout)
    platform = _choose_platform(engine, path, layout, label) if needs_platform else ""
    process = subprocess.Popen([path, *command], stdin=subprocess.PIPE, stdout=sys.stderr)
    assert process.stdin
    try:
        with process.stdin as stream:
            archive_export.export_archive(stream, layout, name, platform)
    except BrokenPipeError:
        pass  # The engine has printed why.
    if status := process.wait():
        raise DeliveryError(f"{engine} has not loaded {name} (exit code {status})")
    print(name)


def _choose_platform(engine: str, program: str, layout: str, label: str) -> str:
    """Returns the platform of an engine that loads one image of an index.

    Args:
      engine: the name of the engine.
      program: its path.
      layout: the path of the OCI layout directory.
      label: the label of the image, for messages.

    Returns:
      The platform, os/architecture; "" if the engine does not print it. Then its `load` prints why, or it is podman with the
      name of docker, which chooses the image itself.

    Raises:
      DeliveryError: the index has no image for the platform.
    """
    platform = _query_engine(program, *_PLATFORM_COMMANDS[engine])
    if not platform or archive_export.find_single_manifest(layout, platform) is not None:
        return platform
    remedy = "add one to the index, or load one of its images"
    if engine == "docker":
        # The containerd image store loads images for other platforms too.
        if "io.containerd.snapshotter" in _query_engine(program, "info", "{{.DriverStatus}}"):
            return platform
        remedy = "add one to the index, load one of its images, or configure Docker to use the containerd image store"
    platforms = ", ".join(archive_export.list_platforms(layout))
    what = f"has no image for {platform}, the platform of {engine}; it has {platforms}; {remedy}"
    raise DeliveryError(format_problem("image", label, what))


def _query_engine(program: str, command: str, template: str) -> str:
    """Returns what a command of an engine prints about it; "" if it fails."""
    arguments = [program, command, "--format", template]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
