"""Attaches the capabilities of an image to it in the registry, as an OCI referrer artifact.

OCI image-spec, "Guidelines for Artifact Usage"; OCI distribution-spec, "Listing Referrers".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules_setcap.delivery.errors import UnreadableRegistryError
from rules_setcap.oci import media_types
from rules_setcap.oci.descriptors import compute_digest, describe_blob, encode_document

if TYPE_CHECKING:
    from rules_setcap.delivery.release.model import ImagePlan, PlatformImage
    from rules_setcap.delivery.release.session import Session

ARTIFACT_TYPE = "application/vnd.rules-setcap.capabilities.v1+json"
"""The type of the artifact, and the media type of its only layer: a JSON object with the capabilities of files by path, as
cap_to_text(3) writes them. The config has the type too, because older versions of crane take the type of an artifact from it."""


def build_artifact(image: PlatformImage, manifest_size: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Returns the descriptor of an artifact, and its documents by digest.

    Args:
      image: the image; its capabilities are known.
      manifest_size: the size of its manifest in bytes.
    """
    content, config = encode_document(dict(sorted((image.capabilities or {}).items()))), b"{}"
    manifest = encode_document(
        {
            "schemaVersion": 2,
            "mediaType": media_types.MANIFEST,
            "artifactType": ARTIFACT_TYPE,
            "config": describe_blob(ARTIFACT_TYPE, config),
            "layers": [describe_blob(ARTIFACT_TYPE, content)],
            "subject": {"mediaType": media_types.MANIFEST, "digest": image.digest, "size": manifest_size},
        }
    )
    documents = {compute_digest(data): data for data in (manifest, config, content)}
    return describe_blob(media_types.MANIFEST, manifest), documents


def attach_capabilities(session: Session, plan: ImagePlan) -> str:
    """Attaches the capabilities of an image, or of each image of an index, unless they are attached already.

    Images whose capabilities are not known, those of other rulesets, are left out.

    Args:
      session: the release.
      plan: the image.

    Returns:
      A line about it; "" if nothing was attached.

    Raises:
      DeliveryError: the capabilities have not been attached.
    """
    image, count = plan.image, 0
    for each in image.platform_images:
        if each.capabilities is None:
            continue
        descriptor, documents = build_artifact(each, len(image.documents[each.digest]))
        try:
            is_attached = session.get_registry(image).find_manifest(image.repository, descriptor["digest"])
        except UnreadableRegistryError:
            is_attached = ""
        if not is_attached:
            session.push(image, descriptor, documents, {})
            count += 1
    return f"attached capabilities to {image.reference}" if count else ""
