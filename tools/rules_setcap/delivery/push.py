"""Pushes an image, or an index with its images, to a registry."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from rules_setcap.delivery.errors import DeliveryError
from rules_setcap.delivery.registry_commands import COMMANDS, TOOLCHAIN_TYPE
from rules_setcap.diagnostics.programs import HangingError, run_limited
from rules_setcap.oci import archive_export

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.delivery.clients import Client
    from rules_setcap.delivery.registry_commands import BaseSource


def push_image(
    layout: str,
    repository: str,
    tags: Sequence[str],
    client: Client,
    *,
    insecure: bool,
    limit: float,
    sources: Sequence[BaseSource] = (),
) -> None:
    """Pushes an image by each tag, or by its digest if there is none, and prints each name that it has then.

    Args:
      layout: the path of the OCI layout directory.
      repository: the registry and the path in it.
      tags: the tags; may be empty.
      client: the client for registries.
      insecure: whether to allow plain HTTP, and certificates that cannot be verified.
      limit: the longest time that the client may make no progress, in seconds.
      sources: the images that have the layers which the layout lacks. They are copied from registry to registry.

    Raises:
      DeliveryError: the image has not been pushed, or with another digest.
    """
    name, path, commands = client.find_program(COMMANDS, "client for registries", TOOLCHAIN_TYPE)
    stdout = sys.stderr if commands.prints_progress else subprocess.DEVNULL

    def run(arguments: Sequence[str]) -> str:
        """Runs the client; returns why it failed, "" if it did not."""
        try:
            status = run_limited([path, *arguments], limit, stdout=stdout)
        except HangingError as error:
            return f"it {error}; --timeout sets this limit"
        return f"exit code {status}" if status else ""

    digest = archive_export.read_descriptor(layout)["digest"]
    by_digest = f"{repository}@{digest}"
    references = [f"{repository}:{tag}" for tag in tags]
    not_copied = [
        f"; {name} has not copied its base {source.image}@{source.digest} to {repository} ({failure})"
        for source in sources
        if source.image != repository and (failure := run(commands.copy(source, repository, insecure)))
    ]
    with tempfile.TemporaryDirectory() as directory:
        digest_file = os.path.join(directory, "digest")
        for reference in references or [by_digest]:
            if failure := run(commands.push(layout, reference, insecure, digest_file)):
                # The registry may have had all layers before, so a base that was not copied is no error by itself.
                raise DeliveryError(f"{name} has not pushed {reference} ({failure}){''.join(not_copied)}")
            pushed_digest = _read_digest(digest_file)
            if pushed_digest != digest:
                raise DeliveryError(
                    f"{name} has pushed {reference} with the digest {pushed_digest or 'none'}; it must be {digest}"
                )
    # Programs that read these lines can use each name, because everything has been pushed.
    for reference in [by_digest, *references]:
        print(reference)


def _read_digest(path: str) -> str:
    """Returns the digest in a file that a client has written; "" if it has written none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 12).strip().rpartition("@")[2]
    except FileNotFoundError:
        return ""
