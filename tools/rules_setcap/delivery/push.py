"""Pushes an image, or an index with its images, by a client of registries.

Only clients that push a layout as it is will do: podman and docker compress the layers
anew, and what they push has another digest. Blobs that the registry has stay here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Callable, Sequence

from rules_setcap.delivery.errors import DeliveryError
from rules_setcap.delivery.programs import Program
from rules_setcap.oci import archive_export

Client = Callable[[str, str, str, bool], str]
"""Pushes; from program, layout, reference and whether the connection may be insecure to the digest that arrived."""


def push(layout: str, repository: str, tags: Sequence[str], program: Program, *, insecure: bool) -> None:
    """Pushes by each tag, or by digest if there is none; prints each name that the registry then knows.

    Args:
      layout: OCI layout directory.
      repository: host/path.
      tags: may be none.
      program: the client.
      insecure: plain HTTP, or certificates that are not checked.

    Raises:
      DeliveryError: it has not arrived, or not as it is here.
    """
    name, path, client = program.find(_CLIENTS, "client for registries", "@rules_setcap//rules:registry_client_toolchain_type")
    digest = archive_export.read_descriptor(layout)["digest"]
    by_digest = f"{repository}@{digest}"
    names = [f"{repository}:{tag}" for tag in tags]
    for reference in names or [by_digest]:
        try:
            arrived = client(path, layout, reference, insecure)
        except subprocess.CalledProcessError as error:
            raise DeliveryError(f"{name} has not pushed {reference} (exit code {error.returncode})") from None
        if arrived != digest:
            raise DeliveryError(f"{name} pushed {reference} as {arrived}, and it is {digest}")
    # Once all of it is there: who reads this may rely on it.
    for reference in [by_digest, *names]:
        print(reference)


def _crane(program: str, layout: str, reference: str, insecure: bool) -> str:
    flags = ["--insecure"] if insecure else []
    done = subprocess.run([program, *flags, "push", layout, reference], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().rpartition("@")[2]


def _skopeo(program: str, layout: str, reference: str, insecure: bool) -> str:
    flags = ["--dest-tls-verify=false"] if insecure else []
    with tempfile.TemporaryDirectory() as directory:
        digest = os.path.join(directory, "digest")
        command = [program, "copy", "--all", "--preserve-digests", f"--digestfile={digest}", *flags]
        # Progress is no part of what we print.
        subprocess.run([*command, f"oci:{layout}", f"docker://{reference}"], check=True, stdout=sys.stderr)
        with open(digest, encoding="utf-8") as file:
            return file.read().strip()


_CLIENTS: dict[str, Client] = {"crane": _crane, "skopeo": _skopeo}
