"""Asks the registries what they lack of a release."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rules_setcap.delivery.errors import UnreadableRegistryError
from rules_setcap.delivery.release.model import PUSHED, TAGGED, UNCHANGED, list_blobs
from rules_setcap.oci import media_types

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rules_setcap.delivery.release.model import ImagePlan, ReleaseImage
    from rules_setcap.delivery.release.registry_access import RegistryAccess


def plan_image(plan: ImagePlan, registry: RegistryAccess) -> None:
    """Finds out what a registry lacks of an image.

    An image that has its tags costs one request for each tag. A manifest that the registry has is complete: a registry takes a
    manifest only after its blobs.

    Args:
      plan: the image; gets the outcome.
      registry: its registry.

    Raises:
      DeliveryError: the registry does not answer, or not as a registry does.
    """
    try:
        _ask_registry(plan, plan.image, registry)
    except UnreadableRegistryError:
        plan.is_read, plan.has_known_blobs, plan.status = False, False, PUSHED
        plan.moving_tags = dict.fromkeys(plan.image.tags, "")
        plan.missing_blobs.clear()
        for manifest in plan.image.manifests:
            _add_missing(plan, manifest)


def _ask_registry(plan: ImagePlan, image: ReleaseImage, registry: RegistryAccess) -> None:
    named = {tag: registry.find_manifest(image.repository, tag) for tag in image.tags}
    plan.moving_tags = {tag: digest for tag, digest in named.items() if digest != image.digest}
    if image.digest in named.values() or registry.find_manifest(image.repository, image.digest):
        plan.status = TAGGED if plan.moving_tags else UNCHANGED
        return
    plan.status = PUSHED
    for manifest in image.manifests:
        if manifest is image.manifests[-1] or not registry.find_manifest(image.repository, manifest["digest"]):
            _add_missing(plan, manifest)
    try:
        plan.missing_blobs = {
            digest: size for digest, size in plan.missing_blobs.items() if not registry.has_blob(image.repository, digest)
        }
    except UnreadableRegistryError:
        plan.has_known_blobs = False  # The client skips those that the registry has.


def _add_missing(plan: ImagePlan, descriptor: Mapping[str, Any]) -> None:
    """Adds the blobs of a manifest to what the registry lacks."""
    if descriptor["mediaType"] not in media_types.INDEXES:
        plan.missing_blobs.update(list_blobs(json.loads(plan.image.documents[descriptor["digest"]])))
