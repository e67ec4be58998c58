"""Tells the manifests of images from those of other things: signatures, attestations, SBOMs, charts, other artifacts.

A manifest that a container engine would run is an image, whatever else it says of itself: one that is passed over could
hide capabilities. containerd unpacks the layers whose media types it knows, and reads `rootfs.diff_ids` of any config.
podman refuses a config of another media type than an image's, and unpacks every layer that is a tar, whatever its media
type. OCI image-spec, "Guidance for an artifact author".
"""

from __future__ import annotations

import binascii
import hashlib
import re

from rules_setcap.diagnostics.errors import quote
from rules_setcap.oci import formats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = (formats.MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
_CONFIGS = (formats.CONFIG, "application/vnd.docker.container.image.v1+json")
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"

# containerd, images.IsLayerType.
_LAYER = re.compile(
    r"application/vnd\.oci\.image\.layer\..*|application/vnd\.docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd)?(\+.*)?"
    r"|application/vnd\.erofs\.layer\.v1(\+.*)?",
    re.ASCII | re.DOTALL,
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def is_digest(value: object) -> bool:
    """Returns whether a value is a digest as we read them: of SHA-256, in lower case."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def find_descriptor_fault(descriptor: Any) -> str:
    """Returns what is wrong with a descriptor, as a sentence; "" if nothing is."""
    fields = descriptor if isinstance(descriptor, dict) else {}
    digest, size, data = fields.get("digest"), fields.get("size"), fields.get("data")
    if isinstance(digest, str) and re.fullmatch(r"sha(384|512):[0-9a-f]+", digest):
        return f"{quote(digest)} is not a digest by sha256, the only algorithm that is read; copy the image with its digests by sha256"
    if not isinstance(fields.get("mediaType"), str) or not is_digest(digest) or type(size) is not int or size < 0:
        return f"{quote(descriptor)} is not a valid descriptor (mediaType, digest by sha256, size)"
    if data is not None:
        import base64  # Few descriptors have data, and the packer starts once for each image.

        try:
            content = base64.b64decode(data, validate=True)
        except (TypeError, ValueError, binascii.Error):
            return f"{digest}: its descriptor has data that is not base64"
        if len(content) != size or "sha256:" + hashlib.sha256(content).hexdigest() != digest:
            return f"{digest}: its descriptor has data of another digest or size"
    return ""


def find_manifest_fault(manifest: Any, media_type: str) -> str:
    """Returns why a document cannot be read as what its descriptor says, as a sentence; "" if it can.

    Args:
      manifest: a manifest or an index.
      media_type: of its descriptor, one of MANIFESTS and INDEXES.
    """
    is_index = media_type in INDEXES
    what = "index" if is_index else "manifest"
    if not isinstance(manifest, dict):
        return f"its {what} is not a JSON object"
    if manifest.get("fsLayers") is not None:
        return f"its {what} is a Docker manifest of schema 1; pull the image again, as an OCI image"
    others = ("config", "layers") if is_index else ("manifests",)
    own = manifest.get("mediaType")
    if any(manifest.get(name) is not None for name in others) or own in (MANIFESTS if is_index else INDEXES):
        return f"its {what} says that it is {'a manifest' if is_index else 'an index'} as well"
    name = "manifests" if is_index else "layers"
    if not isinstance(manifest.get(name), list):
        return f"its {what} has no list of {name}"
    descriptors = manifest[name] if is_index else [manifest.get("config"), *manifest["layers"]]
    return next(filter(None, map(find_descriptor_fault, descriptors)), "")


def find_unknown_fault(media_type: str, document: Any) -> str:
    """Returns why something in an index cannot be passed over though it is neither a manifest nor an index; "" if it can.

    Args:
      media_type: of its descriptor.
      document: its value; None if it is not JSON.
    """
    if media_type.startswith(_SCHEMA_1) or isinstance(document, dict) and document.get("fsLayers") is not None:
        return "a Docker manifest of schema 1, which is not read; pull the image again, as an OCI image"
    if isinstance(document, dict) and any(document.get(name) is not None for name in ("config", "layers", "manifests")):
        return f"a manifest of media type {quote(media_type)}, which is not read; an image has {MANIFESTS[0]}"
    return ""


def find_other(manifest: Mapping[str, Any], load_config: Callable[[], Any], is_tar: Callable[[Mapping[str, Any]], bool]) -> str:
    """Returns what a manifest is of if it is not an image's, as "an artifact"; "" if it is an image's.

    Args:
      manifest: a valid manifest.
      load_config: returns its config; None if that is not a JSON object.
      is_tar: returns whether the blob of a descriptor is a tar, compressed or not.

    Raises:
      ValueError: engines differ about it; the text is a sentence.
    """
    config, layers = manifest["config"]["mediaType"], [layer["mediaType"] for layer in manifest["layers"]]
    kind = manifest.get("artifactType") if isinstance(manifest.get("artifactType"), str) else config
    has_layers = any(_LAYER.fullmatch(media_type) for media_type in layers)
    if config in _CONFIGS:
        if has_layers or not layers:
            return ""
        if any(is_tar(layer) for layer in manifest["layers"]):
            raise ValueError(f"layers of media type {quote(layers[0])} that are tars: podman unpacks them, containerd refuses them")
        return f"an artifact with layers of media type {quote(layers[0])}, not an image"
    if has_layers:
        rootfs = (load_config() or {}).get("rootfs")
        if isinstance(rootfs, dict) and rootfs.get("diff_ids"):
            return ""
    return f"an artifact of type {quote(kind)}, not an image"
