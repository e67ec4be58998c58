"""Reads what a release consists of, from the files that rules/private/release.bzl and the descriptions of the images write."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from rules_setcap.delivery.release.model import PlatformImage, ReleaseImage
from rules_setcap.diagnostics import files
from rules_setcap.oci import media_types

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def read_images(path: str, runfiles: str, workspace: str) -> list[ReleaseImage]:
    """Reads the images of a release, sorted by label.

    Args:
      path: the path of the file that has a JSON object for each image in a line.
      runfiles: the path of the runfiles directory, with a slash at its end.
      workspace: the name of the main repository in the runfiles.

    Returns:
      The images, with the repositories and tags of their targets.
    """
    images = [_parse_image(json.loads(line), runfiles, workspace) for line in files.read_file(path).decode().splitlines() if line]
    return sorted(images, key=lambda image: image.label)


def find_execution_root(images_file: str, execution_path: str) -> str:
    """Returns the path of Bazel's execution root, below which the outputs of the build are; "" if it is not on this machine.

    Args:
      images_file: the path of a file in the runfiles.
      execution_path: its path relative to the execution root.
    """
    path = os.path.realpath(images_file)
    return path.removesuffix("/" + execution_path) if path.endswith("/" + execution_path) else ""


def _parse_image(line: Mapping[str, Any], runfiles: str, workspace: str) -> ReleaseImage:
    path = line["description"]
    description = files.read_json(runfiles + (path[3:] if path.startswith("../") else f"{workspace}/{path}"))
    documents = {digest: text.encode() for digest, text in description["documents"].items()}
    blob_paths: dict[str, str] = {}
    for image, paths in zip(description["images"], line["blobs"] or [[] for _ in description["images"]], strict=True):
        blob_paths.update(zip(image["built"], paths, strict=True))
    fetched = [(f"sha256:{os.path.basename(blob['path'])}", blob) for blob in line["base_blobs"]]
    blob_paths.update((digest, blob["path"]) for digest, blob in fetched)
    return ReleaseImage(
        label=line["label"],
        image=line["image"],
        repository=description["repository"],
        tags=description["tags"],
        descriptor=description["descriptor"],
        documents=documents,
        manifests=_list_manifests(description["descriptor"], documents),
        platform_images=[
            PlatformImage(image["digest"], image["platform"], image["capabilities"]) for image in description["images"]
        ],
        blob_paths=blob_paths,
        layouts=line["layouts"],
        base_repositories={digest: blob["repository"] for digest, blob in fetched},
    )


def _list_manifests(descriptor: Mapping[str, Any], documents: Mapping[str, bytes]) -> list[Mapping[str, Any]]:
    """Returns the descriptors of a manifest or index and of everything below it, the lowest first."""
    manifests: list[Mapping[str, Any]] = []
    if descriptor["mediaType"] in media_types.INDEXES:
        for child in json.loads(documents[descriptor["digest"]])["manifests"]:
            manifests += _list_manifests(child, documents)
    return [*manifests, descriptor]
