"""Parses and checks the names of images: [host/]path[:tag][@digest].

The grammar is that of github.com/distribution/reference, which every container runtime uses; OCI distribution-spec, "Pulling
manifests", has the same for paths and tags. The functions have different rules for different names:

- parse_reference() and names_same_image(): the `image` of a container, which the runtime resolves. A name without a host is
  one of Docker Hub.
- check_repository() and check_tag(): the repository to which an image is pushed. It must have a host.
- complete_image_name(): the name that a container engine gives an image that it loads. A name without a host is local.
"""

from __future__ import annotations

import re
from collections import namedtuple

from rules_setcap.diagnostics.errors import quote

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST_NAME = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = re.compile(rf"{_HOST_NAME}(?::[0-9]+)?", re.ASCII)
_HOST_WITH_VALID_PORT = re.compile(rf"{_HOST_NAME}(?::[0-9]{{1,5}})?", re.ASCII)
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_DIGEST = re.compile("sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_KO_SCHEME = "ko://"
_MAX_NAME = 255  # The limit of registries and of their clients.

_LOCAL = "localhost"  # The host that podman adds to names without one.
_DOCKER_HUB = "docker.io"  # The host that Docker and containerd add to names without one.
_OLD_DOCKER_HUB = "index.docker.io"

ImageReference = namedtuple("ImageReference", ("repository", "tag", "digest"))
"""The full name of an image. repository: str, with its host; tag, digest: str, may be empty."""


def parse_reference(text: str) -> ImageReference:
    """Parses the name of an image as container runtimes do.

    A name without a host is one of Docker Hub; without a slash, of the user "library" of Docker Hub
    (github.com/distribution/reference, splitDockerDomain).

    Raises:
      ValueError: the name is not valid; the message is a sentence.
    """
    if text.startswith(_KO_SCHEME):
        raise ValueError(
            "a placeholder that ko resolve replaces; it must be replaced by a name such as registry.example/path:tag first"
        )
    name, at, digest = text.partition("@")
    tag = ""
    if ":" in name.rpartition("/")[2]:
        name, _, tag = name.rpartition(":")
        if not _TAG.fullmatch(tag):
            raise ValueError(f"invalid image name: {quote(tag[:40])} is not a tag")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError(f"invalid image name: {quote(digest[:80])} is not a digest")
    host, slash, path = name.partition("/")
    if not slash or not (_looks_like_host(host) or host != host.lower()):
        host, path = _DOCKER_HUB, name
    host, path = _expand_docker_hub(host, path)
    is_valid = _PATH.fullmatch(path) and (_HOST.fullmatch(host) or _PATH.fullmatch(host))
    if not is_valid or len(path) > _MAX_NAME:
        raise ValueError("invalid image name; write it as registry.example/path:tag, in lower case")
    return ImageReference(f"{host}/{path}", tag, digest)


def names_same_image(container_image: str, image: str) -> bool:
    """Returns whether the `image` of a container is a given image.

    Args:
      container_image: the name in the container. Without tag and digest it has the tag "latest".
      image: the given image: a repository, and a tag or a digest if they matter.

    Raises:
      ValueError: one of the two is not a valid name.
    """
    container_reference, reference = parse_reference(container_image), parse_reference(image)
    if container_reference.repository != reference.repository or reference.digest not in ("", container_reference.digest):
        return False
    return reference.tag in ("", container_reference.tag or ("" if container_reference.digest else "latest"))


def check_repository(text: str) -> None:
    """Checks a repository of a registry: `host/path` or `host:port/path`.

    Raises:
      ValueError: the repository is not valid; the message is a sentence.
    """
    if text.startswith(_KO_SCHEME):
        raise ValueError(
            "a placeholder that ko resolve replaces; write the repository that it stands for, as host/path or host:port/path"
        )
    host, _, path = text.partition("/")
    if len(text) > _MAX_NAME:
        raise ValueError(f"has {len(text)} characters; a repository has at most {_MAX_NAME}")
    if not path or not _looks_like_host(host):
        raise ValueError("names no registry; write its host first, as host/path or host:port/path")
    if not _HOST_WITH_VALID_PORT.fullmatch(host):
        raise ValueError(f"{quote(host)} is not a valid host; write host/path or host:port/path")
    port = re.search(r":([0-9]+)$", host)
    if port and not 0 < int(port[1]) < 1 << 16:
        raise ValueError(f"port {port[1]} is out of range (1 to 65535)")
    if not _PATH.fullmatch(path):
        name, separator, _ = path.partition("@") if "@" in path else path.partition(":")
        if separator and _PATH.fullmatch(name):
            what = (
                "a digest; the push computes it"
                if separator == "@"
                else "a tag; tags have an attribute of their own, remote_tags"
            )
            raise ValueError(f"{quote(path)} has {what}: write {quote(f'{host}/{name}')}")
        raise ValueError(
            f"{quote(path)} is not a valid path of a repository: it must have lower-case letters and digits, "
            'single ".", "_" or "-" between them, "/" between parts'
        )


def check_tag(text: str) -> None:
    """Checks a tag.

    Raises:
      ValueError: the tag is not valid; the message is a sentence.
    """
    if not _TAG.fullmatch(text):
        raise ValueError(
            f'{quote(text)} is not a valid tag: it must have up to 128 letters, digits, "_", "." and "-", and must not begin with "." or "-"'
        )


def complete_image_name(text: str) -> str:
    """Checks the name of an image for a container engine, and adds the tag; the name may have no host.

    Returns:
      The name with its tag: `app:latest` for `app`.

    Raises:
      ValueError: the name is not valid; the message is a sentence.
    """
    name, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        name, tag = text, "latest"
    if not name:
        raise ValueError("names no image; write name:tag or host/path:tag")
    if "@" in text:
        raise ValueError("has a digest, which the engine computes itself; write name:tag or host/path:tag")
    if ":" in name.rpartition("/")[2]:
        raise ValueError(f"has more than one tag; write {quote(name)}")
    check_repository(name if _has_host(name) else f"{_LOCAL}/{name}")
    check_tag(tag)
    return f"{name}:{tag}"


def expand_docker_name(name: str) -> str:
    """Returns the full name by which Docker and containerd know an image: `docker.io/library/app:dev` for `app:dev`.

    github.com/distribution/reference, ParseNormalizedNamed.

    Args:
      name: the name from complete_image_name().
    """
    host, path = name.split("/", 1) if _has_host(name) else (_DOCKER_HUB, name)
    return "/".join(_expand_docker_hub(host, path))


def expand_podman_name(name: str) -> str:
    """Returns the name that podman gives an image of this machine: `localhost/app:dev` for `app:dev`.

    Args:
      name: the name from complete_image_name().
    """
    return name if _has_host(name) else f"{_LOCAL}/{name}"


def is_loopback(repository: str) -> bool:
    """Returns whether the registry of a repository is this machine, with which clients speak plain HTTP."""
    host = repository.partition("/")[0]
    return re.fullmatch(r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?", host, re.ASCII) is not None


def _expand_docker_hub(host: str, path: str) -> tuple[str, str]:
    """Returns the host and path of a name; for Docker Hub, with its current host and with "library/" before a single component."""
    if host == _OLD_DOCKER_HUB:
        host = _DOCKER_HUB
    if host == _DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return host, path


def _has_host(name: str) -> bool:
    """Returns whether a name begins with the host of a registry."""
    host, slash, _ = name.partition("/")
    return bool(slash) and _looks_like_host(host)


def _looks_like_host(component: str) -> bool:
    """Returns whether clients take the first component of a name for a host: it has a dot or a port, or is localhost."""
    return "." in component or ":" in component or component == _LOCAL
