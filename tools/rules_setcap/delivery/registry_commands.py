"""The command lines of the clients for registries.

The clients are those that push an OCI layout as it is. podman and docker compress the layers again, so that the pushed image
has another digest. Clients skip the blobs that the registry already has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.oci.reference import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

TOOLCHAIN_TYPE = "@rules_setcap//rules:registry_client_toolchain_type"
"""The toolchain type that can name a client, for messages."""


class BaseSource(NamedTuple):
    """An image in a registry that has layers which a layout lacks.

    Attributes:
      image: the repository.
      digest: the digest of the manifest.
      insecure: whether to allow plain HTTP, and certificates that cannot be verified.
    """

    image: str
    digest: str
    insecure: bool


class RegistryCommands(NamedTuple):
    """How a client is called. Each attribute is a function that returns arguments.

    Attributes:
      push: pushes an OCI layout directory. Its own arguments: the path of the layout, the reference, whether the connection may be
        insecure, and the path of a file that gets the digest, "" for none.
      tag: gives an image a tag. Its own arguments: the repository, the digest, the tag, and whether the connection may be insecure.
      copy: copies an image by its digest. Its own arguments: the image, the repository that gets it, and whether the connection to
        that may be insecure.
      read: prints a manifest. Its own arguments: the reference, and whether the connection may be insecure.
      prints_progress: whether standard output has the progress.
    """

    push: Callable[[str, str, bool, str], list[str]]
    tag: Callable[[str, str, str, bool], list[str]]
    copy: Callable[[BaseSource, str, bool], list[str]]
    read: Callable[[str, bool], list[str]]
    prints_progress: bool


def _push_by_crane(layout: str, reference: str, insecure: bool, digest_file: str) -> list[str]:
    return [*_allow_crane(insecure), "push", *([f"--image-refs={digest_file}"] if digest_file else []), layout, reference]


def _tag_by_crane(repository: str, digest: str, tag: str, insecure: bool) -> list[str]:
    return [*_allow_crane(insecure), "tag", f"{repository}@{digest}", tag]


def _copy_by_crane(source: BaseSource, repository: str, insecure: bool) -> list[str]:
    # The flag is for both registries. crane does without it for registries on this machine, so it is only for others.
    flags = _allow_crane((insecure and not is_loopback(repository)) or (source.insecure and not is_loopback(source.image)))
    return [*flags, "copy", *(f"{image}@{source.digest}" for image in (source.image, repository))]


def _read_by_crane(reference: str, insecure: bool) -> list[str]:
    return [*_allow_crane(insecure), "manifest", reference]


def _allow_crane(insecure: bool) -> list[str]:
    return ["--insecure"] if insecure else []


def _push_by_skopeo(layout: str, reference: str, insecure: bool, digest_file: str) -> list[str]:
    flags = [f"--digestfile={digest_file}"] if digest_file else ["--quiet"]
    flags += ["--dest-tls-verify=false"] if insecure else []
    return ["copy", "--all", "--preserve-digests", *flags, f"oci:{layout}", f"docker://{reference}"]


def _tag_by_skopeo(repository: str, digest: str, tag: str, insecure: bool) -> list[str]:
    flags = ["--src-tls-verify=false", "--dest-tls-verify=false"] if insecure else []
    source, target = f"docker://{repository}@{digest}", f"docker://{repository}:{tag}"
    return ["copy", "--all", "--preserve-digests", "--quiet", *flags, source, target]


def _copy_by_skopeo(source: BaseSource, repository: str, insecure: bool) -> list[str]:
    flags = ["--src-tls-verify=false"] if source.insecure else []
    flags += ["--dest-tls-verify=false"] if insecure else []
    return ["copy", "--preserve-digests", *flags, *(f"docker://{image}@{source.digest}" for image in (source.image, repository))]


def _read_by_skopeo(reference: str, insecure: bool) -> list[str]:
    return ["inspect", "--raw", *(["--tls-verify=false"] if insecure else []), f"docker://{reference}"]


COMMANDS = {
    "crane": RegistryCommands(_push_by_crane, _tag_by_crane, _copy_by_crane, _read_by_crane, prints_progress=False),
    "skopeo": RegistryCommands(_push_by_skopeo, _tag_by_skopeo, _copy_by_skopeo, _read_by_skopeo, prints_progress=True),
}
"""The clients by name, the preferred one first."""
