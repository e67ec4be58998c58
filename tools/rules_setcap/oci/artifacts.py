"""Tells the manifests of images from those of artifacts: signatures, attestations, SBOMs, charts.

A manifest that a container engine would run is an image, whatever else it says of itself: skipping one could hide
capabilities. containerd unpacks the layers whose media types it knows, and reads `rootfs.diff_ids` of any config. podman
refuses a config whose media type is not that of an image, and unpacks every layer that is a tar, whatever its media type.
OCI image-spec, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import quote
from rules_setcap.oci import media_types

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

# containerd, images.IsLayerType.
_CONTAINERD_LAYER = re.compile(
    r"application/vnd\.oci\.image\.layer\..*|application/vnd\.docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd)?(\+.*)?"
    r"|application/vnd\.erofs\.layer\.v1(\+.*)?",
    re.ASCII | re.DOTALL,
)


def describe_artifact(
    manifest: Mapping[str, Any], load_config: Callable[[], Any], is_tar: Callable[[Mapping[str, Any]], bool]
) -> str:
    """Returns a description of the artifact that a manifest is for; "" if the manifest is for an image.

    Args:
      manifest: a valid manifest.
      load_config: returns the config; None if it is not a JSON object.
      is_tar: returns whether the blob of a descriptor is a tar, compressed or not.

    Raises:
      ValueError: engines differ about the manifest; the message is a sentence.
    """
    config, layers = manifest["config"]["mediaType"], [layer["mediaType"] for layer in manifest["layers"]]
    artifact_type = manifest.get("artifactType") if isinstance(manifest.get("artifactType"), str) else config
    has_layers = any(_CONTAINERD_LAYER.fullmatch(media_type) for media_type in layers)
    if config in media_types.CONFIGS:
        if has_layers or not layers:
            return ""
        if any(is_tar(layer) for layer in manifest["layers"]):
            raise ValueError(
                f"layers of media type {quote(layers[0])} that are tars: podman unpacks them, containerd refuses them"
            )
        return f"an artifact with layers of media type {quote(layers[0])}, not an image"
    if has_layers:
        rootfs = (load_config() or {}).get("rootfs")
        if isinstance(rootfs, dict) and rootfs.get("diff_ids"):
            return ""
    return f"an artifact of type {quote(artifact_type)}, not an image"


def find_unknown_type_fault(media_type: str, document: Any) -> str:
    """Returns why an entry of an index with an unknown media type must not be skipped; "" if it may be.

    An engine could take such an entry for an image if it looks like a manifest or an index.

    Args:
      media_type: the media type of the entry's descriptor, not one of MANIFESTS and INDEXES.
      document: the value of the blob; None if it is not JSON.
    """
    fields = document if isinstance(document, dict) else {}
    if media_type.startswith(media_types.DOCKER_SCHEMA_1) or fields.get("fsLayers") is not None:
        return "a Docker manifest of schema 1, which is not read; pull the image again, as an OCI image"
    if any(fields.get(name) is not None for name in ("config", "layers", "manifests")):
        return f"a manifest of media type {quote(media_type)}, which is not read; an image has {media_types.MANIFEST}"
    return ""
