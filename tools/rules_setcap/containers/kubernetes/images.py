"""Finds the fields of manifests that name images."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from rules_setcap.containers.kubernetes.manifests import Manifest
from rules_setcap.documents.yaml_documents import Field
from rules_setcap.oci.reference import names_same_image, parse_reference

_IMAGE_PATH = re.compile(r"(^|\.)image(\.reference)?$", re.ASCII)
_MAX_REFERENCE = 1024  # A longer text cannot be the name of an image.


def names_image(text: str, image: str) -> bool:
    """Returns whether a text in a manifest names an image.

    Args:
      text: the text; it may be something else than the name of an image.
      image: the image: a repository, with a tag or a digest if those matter, or a placeholder. See
        oci.reference.names_same_image().
    """
    if text == image:
        return True
    try:
        return names_same_image(text, image)
    except ValueError:
        return False


def find_image_fields(manifest: Manifest) -> Iterator[Field]:
    """Yields the fields that have the images of pods: of their containers, and of volumes of images."""
    for pod in manifest.pods:
        fields = [container.field.get("image") for container in pod.containers]
        volumes = pod.spec.get("volumes")
        fields += [volume.at("image", "reference") for volume in volumes.items()] if volumes else []
        yield from (field for field in fields if field and isinstance(field.node.value, str))


def find_custom_image_fields(manifest: Manifest) -> Iterator[Field]:
    """Yields the texts of fields called `image` or `image.reference` in objects of unknown kinds, outside their pod templates."""
    return (field for field in _find_other_texts(manifest) if _IMAGE_PATH.search(field.path))


def find_mentions(manifest: Manifest, image: str) -> Iterator[Field]:
    """Yields the fields that name an image in objects of unknown kinds, outside their pod templates.

    Args:
      manifest: the manifest.
      image: the name of the image. Its tag and digest are not compared.
    """
    repository = _find_repository(image)
    for field in _find_other_texts(manifest):
        text = str(field.node.value)
        if text == image or (repository and _find_repository(text) == repository):
            yield field


def _find_repository(text: str) -> str:
    """Returns the repository of an image's name; "" if the text is not one."""
    try:
        return str(parse_reference(text).repository)
    except ValueError:
        return ""


def _find_other_texts(manifest: Manifest) -> Iterator[Field]:
    """Yields the texts in objects of unknown kinds, outside their pod templates."""
    templates = {pod.spec.where for pod in manifest.pods}
    for other in manifest.others:
        yield from _find_texts(other, templates)


def _find_texts(field: Field, templates: Collection[str]) -> Iterator[Field]:
    """Yields the texts in an object outside its labels, its annotations and its pod templates, which are given by Field.where."""
    value = field.node.value
    if isinstance(value, str):
        if len(value) <= _MAX_REFERENCE:
            yield field
    elif field.where not in templates and not field.path.endswith(("metadata.annotations", "metadata.labels")):
        for member in field.items() if isinstance(value, list) else field.fields().values():
            yield from _find_texts(member, templates)
