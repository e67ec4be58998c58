"""Pushes an image, or an index with its images, to a registry.

The clients are those that push an OCI layout as it is. podman and docker compress the layers again, so that the pushed image
has another digest. Clients skip the blobs that the registry already has.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.delivery.errors import DeliveryError
from rules_setcap.oci import archive_export
from rules_setcap.oci.reference import is_loopback

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.delivery.clients import Client

PushFunction = Callable[[str, str, str, bool], str]
"""Pushes an image by a client. Arguments: the path of the client, the path of the OCI layout, the reference, and whether the
connection may be insecure. Returns the digest that the client reports."""


class BaseSource(NamedTuple):
    """An image in a registry that has layers which the layout lacks.

    Attributes:
      image: the repository.
      digest: the digest of the manifest.
      insecure: whether to allow plain HTTP, and certificates that cannot be verified.
    """

    image: str
    digest: str
    insecure: bool


def push_image(
    layout: str, repository: str, tags: Sequence[str], client: Client, *, insecure: bool, sources: Sequence[BaseSource] = ()
) -> None:
    """Pushes an image by each tag, or by its digest if there is none, and prints each name that it has then.

    Args:
      layout: the path of the OCI layout directory.
      repository: the registry and the path in it.
      tags: the tags; may be empty.
      client: the client for registries.
      insecure: whether to allow plain HTTP, and certificates that cannot be verified.
      sources: the images that have the layers which the layout lacks. They are copied from registry to registry.

    Raises:
      DeliveryError: the image has not been pushed, or with another digest.
    """
    toolchain_type = "@rules_setcap//rules:registry_client_toolchain_type"
    name, path, push = client.find_program(_PUSH_FUNCTIONS, "client for registries", toolchain_type)
    digest = archive_export.read_descriptor(layout)["digest"]
    by_digest = f"{repository}@{digest}"
    references = [f"{repository}:{tag}" for tag in tags]
    not_copied = [
        f"{name} has not copied its base {source.image}@{source.digest} to {repository}"
        for source in sources
        if source.image != repository and not _COPY_FUNCTIONS[name](path, source, repository, insecure)
    ]
    for reference in references or [by_digest]:
        try:
            pushed_digest = push(path, layout, reference, insecure)
        except subprocess.CalledProcessError as error:
            # The registry may have had all layers before, so a base that was not copied is no error by itself.
            reasons = "".join(f"; {text}" for text in not_copied)
            raise DeliveryError(f"{name} has not pushed {reference} (exit code {error.returncode}){reasons}") from None
        if pushed_digest != digest:
            raise DeliveryError(f"{name} has pushed {reference} with the digest {pushed_digest}; it must be {digest}")
    # Programs that read these lines can use each name, because everything has been pushed.
    for reference in [by_digest, *references]:
        print(reference)


def _push_by_crane(program: str, layout: str, reference: str, insecure: bool) -> str:
    flags = ["--insecure"] if insecure else []
    done = subprocess.run([program, *flags, "push", layout, reference], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().rpartition("@")[2]


def _push_by_skopeo(program: str, layout: str, reference: str, insecure: bool) -> str:
    flags = ["--dest-tls-verify=false"] if insecure else []
    with tempfile.TemporaryDirectory() as directory:
        digest_file = os.path.join(directory, "digest")
        command = [program, "copy", "--all", "--preserve-digests", f"--digestfile={digest_file}", *flags]
        # skopeo prints its progress on stdout, which is for the names of the image.
        subprocess.run([*command, f"oci:{layout}", f"docker://{reference}"], check=True, stdout=sys.stderr)
        with open(digest_file, encoding="utf-8") as file:
            return file.read().strip()


def _copy_by_crane(program: str, source: BaseSource, repository: str, insecure: bool) -> bool:
    # The flag is for both registries. crane does without it for registries on this machine, so it is only for others.
    flags = (
        ["--insecure"]
        if (insecure and not is_loopback(repository)) or (source.insecure and not is_loopback(source.image))
        else []
    )
    names = [f"{image}@{source.digest}" for image in (source.image, repository)]
    return subprocess.run([program, *flags, "copy", *names], check=False, stdout=sys.stderr).returncode == 0


def _copy_by_skopeo(program: str, source: BaseSource, repository: str, insecure: bool) -> bool:
    flags = ["--src-tls-verify=false"] if source.insecure else []
    flags += ["--dest-tls-verify=false"] if insecure else []
    names = [f"docker://{image}@{source.digest}" for image in (source.image, repository)]
    command = [program, "copy", "--preserve-digests", *flags, *names]
    return subprocess.run(command, check=False, stdout=sys.stderr).returncode == 0


CopyFunction = Callable[[str, BaseSource, str, bool], bool]
"""Copies an image to a repository by a client, by its digest. Returns whether the client has copied it."""

_COPY_FUNCTIONS: dict[str, CopyFunction] = {"crane": _copy_by_crane, "skopeo": _copy_by_skopeo}
_PUSH_FUNCTIONS: dict[str, PushFunction] = {"crane": _push_by_crane, "skopeo": _push_by_skopeo}
