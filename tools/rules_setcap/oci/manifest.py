"""Builds the manifest of an image: OCI image-spec, "OCI Image Manifest Specification"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.oci import media_types
from rules_setcap.oci.descriptors import describe_blob, order_keys, sort_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def build_manifest(config: bytes, layers: Sequence[Mapping[str, Any]], annotations: Mapping[str, str]) -> dict[str, Any]:
    """Returns the manifest.

    Args:
      config: the bytes of the config.
      layers: descriptors, the lowest layer first.
      annotations: the annotations of the manifest; the key is left out if there are none.
    """
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_types.MANIFEST,
        "config": describe_blob(media_types.CONFIG, config),
        "layers": [order_keys(layer, ("mediaType", "digest", "size")) for layer in layers],
    }
    if annotations:
        manifest["annotations"] = sort_keys(annotations)
    return manifest
