"""Finds the names of the images of an archive or a layout, and chooses an image by its name.

The names are those that programs write: `RepoTags` in the manifest.json of `docker save`, and in index.json the annotations
`io.containerd.image.name` (containerd, Docker since 25) and `org.opencontainers.image.ref.name` (podman, buildah, skopeo).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.oci.layout_reader import LayoutReader
from rules_setcap.oci.reference import complete_image_name, expand_docker_name, expand_podman_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from rules_setcap.oci.image_documents import ImageDocuments

    DockerNames = Mapping[str, Sequence[str]]

IMAGE_FLAG = "--image"
IMAGE_FLAG_HELP = 'of several images, the one of this name, such as "app:dev", or of this digest'
"""The flag that chooses an image by its name, and its description for --help."""

_CONTAINERD_NAME, _OCI_NAME = "io.containerd.image.name", "org.opencontainers.image.ref.name"
_ID = re.compile("(?:sha256:)?([0-9a-f]{12,64})", re.ASCII)  # `docker images` prints 12 digits.
_LISTED = 20  # Names in a message.


def list_names(layout: str, images: Sequence[ImageDocuments], docker_names: DockerNames) -> list[tuple[str, ...]]:
    """Returns the names of each of some images, without those that mean the same as an earlier one.

    Args:
      layout: the path of the OCI image layout directory that has the images.
      images: the images.
      docker_names: by the digest of a config, the names of the image in the manifest.json of a Docker archive.

    Raises:
      InputError: an index is not valid.
    """
    by_manifest: dict[str, list[str]] = {}
    for entry, digests in LayoutReader(layout).list_manifests_by_entry():
        if name := _get_name(entry):
            for digest in digests:
                by_manifest.setdefault(digest, []).append(name)
    result = []
    for image in images:
        names = [*docker_names.get(image.manifest["config"]["digest"], ()), *by_manifest.get(image.descriptor["digest"], ())]
        by_meaning: dict[str, str] = {}
        for name in names:
            by_meaning.setdefault(_expand(name), name)
        result.append(tuple(by_meaning.values()))
    return result


def choose_images(
    place: str, layout: str, images: Sequence[ImageDocuments], name: str, docker_names: DockerNames
) -> list[ImageDocuments]:
    """Returns the images of a name; several if the name is that of an index.

    A name without a tag has the tag "latest". A name without a host is the name as it is written, else that of Docker Hub, else
    that of podman's `localhost/`.

    Args:
      place: the image as the user wrote it, for messages.
      layout: the path of the OCI image layout directory that has the images.
      images: its images.
      name: the name, or at least 12 digits of the digest of a manifest or config.
      docker_names: as for list_names().

    Raises:
      InputError: there is no such image; the message has the names that exist.
    """
    all_names = list_names(layout, images, docker_names)
    for is_match in _make_matchers(name):
        chosen = [image for image, names in zip(images, all_names, strict=True) if any(map(is_match, names))]
        if chosen:
            return chosen
    if identifier := _ID.fullmatch(name):
        start = "sha256:" + identifier[1]
        by_digest = {
            digest: image
            for image in images
            for digest in (image.descriptor["digest"], image.manifest["config"]["digest"])
            if digest.startswith(start)
        }
        distinct = {id(image): image for image in by_digest.values()}
        if len(distinct) == 1:
            return list(distinct.values())
    what = f"{quote(place)} has no image of this name; it has {describe_names(images, all_names)}"
    raise InputError([format_problem(IMAGE_FLAG, name, what)])


def list_other_names(names: Iterable[Sequence[str]], name: str) -> list[str]:
    """Returns those names of chosen images that do not mean the same as the name that has chosen them."""
    matchers = _make_matchers(name)
    others = [other for image_names in names for other in image_names if not any(is_match(other) for is_match in matchers)]
    return list(dict.fromkeys(others))


def describe_names(images: Sequence[ImageDocuments], names: Iterable[Sequence[str]]) -> str:
    """Returns the names of images for a message; for an image without a name, the digest of its manifest."""
    texts = [
        quote(text)
        for image, image_names in zip(images, names, strict=True)
        for text in (image_names or [image.descriptor["digest"]])
    ]
    texts = list(dict.fromkeys(texts))
    more = f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else ""
    return ", ".join(texts[:_LISTED]) + more


def _get_name(entry: Mapping[str, Any]) -> str:
    """Returns the name of an entry of index.json; "" if it has none."""
    annotations = entry.get("annotations") or {}
    values = (annotations.get(key) for key in (_CONTAINERD_NAME, _OCI_NAME))
    return next((value for value in values if isinstance(value, str) and value), "")


def _expand(name: str) -> str:
    """Returns the full name for a name of Docker; the same name if it is not a valid one."""
    try:
        return expand_docker_name(complete_image_name(name))
    except ValueError:
        return name


def _make_matchers(name: str) -> list[Callable[[str], bool]]:
    """Returns functions that tell whether a name means the same as `name`; the best match is that of the first."""
    docker = _expand(name)
    try:
        podman = expand_podman_name(complete_image_name(name))
    except ValueError:
        podman = name
    return [lambda other: other == name, lambda other: _expand(other) == docker, lambda other: other == podman]
