"""Names of images: OCI distribution-spec, "Pulling manifests", with a registry's host before them."""

from __future__ import annotations

import re

from .errors import quote

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_REGISTRY = re.compile(_HOST, re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_MAX_REPOSITORY = 255  # What registries take, and the clients' own limit.

LOCAL = "localhost"
"""The host of images that no registry has, as podman names those that it builds."""


def check_repository(text: str) -> None:
    """Checks `host/path` or `host:port/path`.

    Raises:
      ValueError: what is wrong with it, as a sentence.
    """
    host, _, path = text.partition("/")
    if len(text) > _MAX_REPOSITORY:
        raise ValueError(f"has {len(text)} characters; a repository has at most {_MAX_REPOSITORY}")
    if not path or not _is_host(host):
        raise ValueError("names no registry; write its host first, as host/path or host:port/path")
    if not _REGISTRY.fullmatch(host):
        raise ValueError(f"{quote(host)} is not a valid host; write host/path or host:port/path")
    if not _PATH.fullmatch(path):
        raise ValueError(
            f"{quote(path)} is not a valid path of a repository: it must have lower-case letters and digits, "
            'single ".", "_" or "-" between them, "/" between parts'
        )


def check_tag(text: str) -> None:
    """Checks a tag.

    Raises:
      ValueError: what is wrong with it, as a sentence.
    """
    if not _TAG.fullmatch(text):
        raise ValueError(f'{quote(text)} is not a valid tag: it must have up to 128 letters, digits, "_", "." and "-", and must not begin with "." or "-"')


def local_name(text: str) -> str:
    """The full name of an image for a container engine: `app` is `localhost/app:latest`.

    Without a host, engines would differ: Docker means its public registry, podman this machine.

    Raises:
      ValueError: what is wrong with it, as a sentence.
    """
    name, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        name, tag = text, "latest"
    if not _is_host(name.partition("/")[0]) or "/" not in name:
        name = f"{LOCAL}/{name}"
    check_repository(name)
    check_tag(tag)
    return f"{name}:{tag}"


def is_loopback(repository: str) -> bool:
    """Whether the registry is this machine, which clients speak to in plain HTTP."""
    host = repository.partition("/")[0]
    return re.fullmatch(r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?", host, re.ASCII) is not None


def _is_host(part: str) -> bool:
    """Whether the first part of a name is a registry: clients tell by a dot or a port, or that it is localhost."""
    return "." in part or ":" in part or part == LOCAL
