"""Checks the form of descriptors, manifests and indexes that other tools wrote.

OCI image-spec, "OCI Content Descriptors", "OCI Image Manifest Specification" and "OCI Image Index Specification".
"""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import quote
from rules_setcap.oci import media_types
from rules_setcap.oci.descriptors import compute_digest

if TYPE_CHECKING:
    from typing import Any

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def is_digest(value: object) -> bool:
    """Returns whether a value is a digest of the only kind that is read: SHA-256 in lower case."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def find_descriptor_fault(descriptor: Any) -> str:
    """Returns what is wrong with a descriptor, as a sentence; "" if it is valid."""
    fields = descriptor if isinstance(descriptor, dict) else {}
    digest, size, data = fields.get("digest"), fields.get("size"), fields.get("data")
    if isinstance(digest, str) and re.fullmatch(r"sha(384|512):[0-9a-f]+", digest):
        return f"{quote(digest)} is not a digest by sha256, the only algorithm that is read; copy the image with its digests by sha256"
    if not isinstance(fields.get("mediaType"), str) or not is_digest(digest) or type(size) is not int or size < 0:
        return f"{quote(descriptor)} is not a valid descriptor (mediaType, digest by sha256, size)"
    if data is not None:
        import base64  # Few descriptors have data, and an action that assembles an image starts once for each image.

        try:
            content = base64.b64decode(data, validate=True)
        except (TypeError, ValueError, binascii.Error):
            return f"{digest}: its descriptor has data that is not base64"
        if len(content) != size or compute_digest(content) != digest:
            return f"{digest}: its descriptor has data of another digest or size"
    return ""


def find_manifest_fault(manifest: Any, media_type: str) -> str:
    """Returns why a document is not valid as what its descriptor says, as a sentence; "" if it is.

    Args:
      manifest: a manifest or an index.
      media_type: the media type of its descriptor, one of MANIFESTS and INDEXES.
    """
    is_index = media_type in media_types.INDEXES
    kind = "index" if is_index else "manifest"
    if not isinstance(manifest, dict):
        return f"its {kind} is not a JSON object"
    if manifest.get("fsLayers") is not None:
        return f"its {kind} is a Docker manifest of schema 1; pull the image again, as an OCI image"
    # Engines differ in whether they believe the descriptor or the document.
    other_keys = ("config", "layers") if is_index else ("manifests",)
    other_types = media_types.MANIFESTS if is_index else media_types.INDEXES
    if any(manifest.get(key) is not None for key in other_keys) or manifest.get("mediaType") in other_types:
        return f"its {kind} says that it is {'a manifest' if is_index else 'an index'} as well"
    key = "manifests" if is_index else "layers"
    if not isinstance(manifest.get(key), list):
        return f"its {kind} has no list of {key}"
    descriptors = manifest[key] if is_index else [manifest.get("config"), *manifest["layers"]]
    return next(filter(None, map(find_descriptor_fault, descriptors)), "")
