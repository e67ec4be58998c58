"""Loads an image into a container engine of this machine: as a stream, so that no archive is kept."""

from __future__ import annotations

import subprocess
import sys

from rules_setcap.delivery.errors import DeliveryError
from rules_setcap.delivery.programs import Program
from rules_setcap.diagnostics.errors import problem
from rules_setcap.oci import archive_export, reference

_ENGINES = {"docker": ("load",), "podman": ("load",), "nerdctl": ("load",)}
"""The arguments with which each reads an archive from its standard input."""

_PLATFORMS = {"docker": ("version", "{{.Server.Os}}/{{.Server.Arch}}"), "podman": ("info", "{{.Version.OsArch}}")}
"""The command and the template with which engines tell their platform: those that load only one image from an index."""


def load(layout: str, name: str, image: str, program: Program) -> None:
    """Loads an image; prints the name by which the engine runs it.

    Args:
      layout: OCI layout directory.
      name: the image's name with its tag; it may have no host.
      image: the image's label, for messages.
      program: the engine.

    Raises:
      DeliveryError: it is not loaded.
      InputError: the layout is not valid.
    """
    engine, path, command = program.find(_ENGINES, "container engine", "@rules_setcap//rules:container_engine_toolchain_type")
    if engine == "podman":
        name = reference.expand_podman_name(name)
    platform = _platform(engine, path, layout, image) if engine in _PLATFORMS and archive_export.holds_index(layout) else ""
    process = subprocess.Popen([path, *command], stdin=subprocess.PIPE, stdout=sys.stderr)
    assert process.stdin
    try:
        with process.stdin as stream:
            archive_export.export_archive(stream, layout, name, platform)
    except BrokenPipeError:
        pass  # The engine says why.
    if status := process.wait():
        raise DeliveryError(f"{engine} has not loaded {name} (exit code {status})")
    print(name)


def _platform(engine: str, program: str, layout: str, image: str) -> str:
    """Returns the platform of an engine that loads one image from an index, to choose the image.

    Returns:
      os/architecture; "" if the engine does not tell. Its `load` then says why, or it is podman by the name of docker,
      which chooses by itself.

    Raises:
      DeliveryError: the index has no image for the platform.
    """
    platform = _ask(program, *_PLATFORMS[engine])
    if not platform or archive_export.find_single_manifest(layout, platform) is not None:
        return platform
    remedy = "add one to the index, or load one of its images"
    if engine == "docker":
        # The containerd image store loads images for other platforms, too.
        if "io.containerd.snapshotter" in _ask(program, "info", "{{.DriverStatus}}"):
            return platform
        remedy = "add one to the index, load one of its images, or configure Docker to use the containerd image store"
    platforms = ", ".join(archive_export.list_platforms(layout))
    raise DeliveryError(problem("image", image, f"has no image for {platform}, the platform of {engine}; it has {platforms}; {remedy}"))


def _ask(program: str, command: str, template: str) -> str:
    """Returns what a command of an engine prints about it; "" if it fails."""
    done = subprocess.run([program, command, "--format", template], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""
