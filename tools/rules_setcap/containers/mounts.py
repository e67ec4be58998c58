"""Parses -v, --mount and --tmpfs of docker, podman and nerdctl, and the short form of volumes in Compose files."""

from __future__ import annotations

import csv
from collections.abc import Iterable

from rules_setcap.containers.settings import Mount, normalize_target
from rules_setcap.diagnostics.errors import quote

# moby daemon/volume/mounts/linux_parser.go. Docker has no option nosuid.
_DOCKER_OPTIONS = frozenset(
    """
    ro rw z Z nocopy consistent cached delegated private rprivate shared rshared slave rslave
    """.split()
)
_TYPES = {
    "docker": frozenset("bind cluster image npipe tmpfs volume".split()),
    "nerdctl": frozenset("bind tmpfs volume".split()),
    "podman": frozenset("artifact bind devpts glob image ramfs tmpfs volume".split()),
}


def parse_volume(text: str, engine_name: str) -> Mount:
    """Parses the value of -v: [source:]target[:options].

    podman mounts named volumes with nosuid unless the options say otherwise (pkg/util/mount_opts.go, ProcessOptions, without
    a source path). Docker has no such option, and the host's mount decides about bind mounts.

    Args:
      text: the value.
      engine_name: "docker", "nerdctl" or "podman".

    Raises:
      ValueError: the value is not valid; the error says why.
    """
    parts = text.split(":")
    if len(parts) > 3 or not all(parts[:2]):
        raise ValueError("not a valid volume; write it as source:/path/in/container:options")
    source, path = ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    options = parts[2].split(",") if len(parts) == 3 else []
    kind = "bind" if source.startswith(("/", ".", "~", "$")) else "volume"
    if engine_name == "docker":
        for option in options:
            if option and option not in _DOCKER_OPTIONS:
                raise ValueError(f"Docker has no option {quote(option)} for volumes")
        return Mount(normalize_target(path), kind, None)
    default = True if kind == "volume" and engine_name == "podman" else None
    return Mount(normalize_target(path), kind, _find_nosuid(options, default))


def parse_tmpfs(text: str) -> Mount:
    """Parses the value of --tmpfs: target[:options].

    Docker and podman mount it with nosuid (moby daemon/oci_linux.go, withMounts).

    Raises:
      ValueError: the value is not valid; the error says why.
    """
    path, _, options = text.partition(":")
    return Mount(normalize_target(path), "tmpfs", _find_nosuid(options.split(","), True))


def parse_mount(text: str, engine_name: str) -> Mount:
    """Parses the value of --mount: type=...,target=....

    Args:
      text: the value.
      engine_name: "docker", "nerdctl" or "podman".

    Raises:
      ValueError: the value is not valid; the error says why.
    """
    try:
        fields = next(csv.reader([text.strip()], strict=True), [])
    except csv.Error as error:
        raise ValueError(f"not a valid comma-separated list: {error}") from None
    kind, path = "volume", ""
    for field in fields:
        key, _, value = field.partition("=")
        key = key.lower()
        if key == "type":
            kind = value.lower()
        elif key in ("target", "dst", "destination", "dest"):
            path = value
        elif key in ("nosuid", "suid") and engine_name == "docker":
            raise ValueError(f"Docker has no option {quote(key)} for mounts")
    if kind not in _TYPES[engine_name]:
        raise ValueError(f"unknown type {quote(kind[:40])}; must be one of " + ", ".join(sorted(_TYPES[engine_name])))
    if kind == "glob" and not path:
        path = "/"
    if not path:
        raise ValueError("no target; write target=/path/in/container")
    default = True if kind in ("tmpfs", "ramfs", "devpts") or (kind == "volume" and engine_name == "podman") else None
    return Mount(normalize_target(path), kind, _find_nosuid((field.lower() for field in fields), default))


def _find_nosuid(options: Iterable[str], default: bool | None) -> bool | None:
    """Returns whether the last of the options `nosuid` and `suid` is `nosuid`; `default` if neither is there."""
    nosuid = default
    for option in options:
        if option in ("nosuid", "suid"):
            nosuid = option == "nosuid"
    return nosuid
