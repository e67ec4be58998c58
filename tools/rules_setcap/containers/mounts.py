"""Parses -v, --mount and --tmpfs of docker, podman and nerdctl, and Compose's short volumes."""

from __future__ import annotations

import csv
from collections.abc import Iterable

from rules_setcap.containers.settings import Mount, normalize_target
from rules_setcap.diagnostics.errors import quote

# moby daemon/volume/mounts/linux_parser.go; nosuid is not among them.
_DOCKER_MODES = frozenset(
    """
    ro rw z Z nocopy consistent cached delegated private rprivate shared rshared slave rslave
    """.split()
)
_TYPES = {
    "docker": frozenset("bind cluster image npipe tmpfs volume".split()),
    "nerdctl": frozenset("bind tmpfs volume".split()),
    "podman": frozenset("artifact bind devpts glob image ramfs tmpfs volume".split()),
}


def parse_volume(text: str, runtime: str) -> Mount:
    """What -v says: [source:]target[:options].

    podman mounts its named volumes nosuid unless told otherwise (pkg/util/mount_opts.go,
    ProcessOptions, without a source path); Docker has no such option, and bind mounts are
    as the host has them.

    Raises:
      ValueError: with what is wrong.
    """
    parts = text.split(":")
    if len(parts) > 3 or not all(parts[:2]):
        raise ValueError("no volume; write it as source:/path/in/container:options")
    source, path = ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    options = parts[2].split(",") if len(parts) == 3 else []
    kind = "bind" if source.startswith(("/", ".", "~", "$")) else "volume"
    if runtime == "docker":
        for option in options:
            if option and option not in _DOCKER_MODES:
                raise ValueError(f"Docker has no option {quote(option)} for volumes")
        return Mount(normalize_target(path), kind, None)
    return Mount(normalize_target(path), kind, _nosuid(options, True if kind == "volume" and runtime == "podman" else None))


def parse_tmpfs(text: str) -> Mount:
    """What --tmpfs says: target[:options]. Both engines mount it nosuid (moby daemon/oci_linux.go, withMounts).

    Raises:
      ValueError: with what is wrong.
    """
    path, _, options = text.partition(":")
    return Mount(normalize_target(path), "tmpfs", _nosuid(options.split(","), True))


def parse_mount(text: str, runtime: str) -> Mount:
    """What --mount says: type=...,target=....

    Raises:
      ValueError: with what is wrong.
    """
    try:
        fields = next(csv.reader([text.strip()], strict=True), [])
    except csv.Error as error:
        raise ValueError(f"no comma-separated list: {error}") from None
    kind, path = "volume", ""
    for field in fields:
        key, _, value = field.partition("=")
        key = key.lower()
        if key == "type":
            kind = value.lower()
        elif key in ("target", "dst", "destination", "dest"):
            path = value
        elif key in ("nosuid", "suid") and runtime == "docker":
            raise ValueError(f"Docker has no option {quote(key)} for mounts")
    if kind not in _TYPES[runtime]:
        raise ValueError(f"unknown type {quote(kind[:40])}; it is one of " + ", ".join(sorted(_TYPES[runtime])))
    if kind == "glob" and not path:
        path = "/"
    if not path:
        raise ValueError("no target; write target=/path/in/container")
    default = True if kind in ("tmpfs", "ramfs", "devpts") or (kind == "volume" and runtime == "podman") else None
    return Mount(normalize_target(path), kind, _nosuid((field.lower() for field in fields), default))


def _nosuid(options: Iterable[str], default: bool | None) -> bool | None:
    """The last of `nosuid` and `suid`, or the default."""
    for option in options:
        if option in ("nosuid", "suid"):
            default = option == "nosuid"
    return default
