"""Names of images: OCI distribution-spec, "Pulling manifests", with a registry's host before them."""

from __future__ import annotations

import re

from rules_setcap.diagnostics.errors import quote

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_REGISTRY = re.compile(_HOST, re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_MAX_REPOSITORY = 255  # What registries take, and the clients' own limit.

_LOCAL = "localhost"  # The host that podman gives names without one.
_DOCKER_HUB = "docker.io"  # The host that Docker and containerd give names without one.
_OLD_DOCKER_HUB = "index.docker.io"


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


def image_name(text: str) -> str:
    """Checks the name of an image for a container engine; it may have no host.

    Returns:
      The name with its tag: `app` is `app:latest`.

    Raises:
      ValueError: what is wrong with it, as a sentence.
    """
    name, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        name, tag = text, "latest"
    check_repository(name if _has_host(name) else f"{_LOCAL}/{name}")
    check_tag(tag)
    return f"{name}:{tag}"


def docker_name(name: str) -> str:
    """Returns the full name by which Docker and containerd know an image: `app:dev` is `docker.io/library/app:dev`.

    As github.com/distribution/reference, ParseNormalizedNamed.

    Args:
      name: from image_name().
    """
    host, path = name.split("/", 1) if _has_host(name) else (_DOCKER_HUB, name)
    if host == _OLD_DOCKER_HUB:
        host = _DOCKER_HUB
    if host == _DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return f"{host}/{path}"


def podman_name(name: str) -> str:
    """Returns the name that podman gives an image of this machine: `app:dev` is `localhost/app:dev`.

    Args:
      name: from image_name().
    """
    return name if _has_host(name) else f"{_LOCAL}/{name}"


def is_loopback(repository: str) -> bool:
    """Whether the registry is this machine, which clients speak to in plain HTTP."""
    host = repository.partition("/")[0]
    return re.fullmatch(r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?", host, re.ASCII) is not None


def _has_host(name: str) -> bool:
    """Returns whether a name of several parts begins with a registry's host."""
    host, slash, _ = name.partition("/")
    return bool(slash) and _is_host(host)


def _is_host(part: str) -> bool:
    """Returns whether clients take the first part of a name for a registry: it has a dot or a port, or is localhost."""
    return "." in part or ":" in part or part == _LOCAL
