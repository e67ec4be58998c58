"""The media types of documents and layers: OCI image-spec, "OCI Image Media Types", and those of Docker."""

from __future__ import annotations

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
"""An uncompressed layer. The media type of a compressed one ends with "+gzip" or "+zstd"."""
NONDISTRIBUTABLE_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar"

INDEXES = (INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = (MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
CONFIGS = (CONFIG, "application/vnd.docker.container.image.v1+json")

DOCKER_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
"""The prefix of the media types of Docker's manifests of schema 1, which have no config."""

_DOCKER_LAYERS = {
    "application/vnd.docker.image.rootfs.diff.tar": LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER + "+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": LAYER + "+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar": NONDISTRIBUTABLE_LAYER,
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": NONDISTRIBUTABLE_LAYER + "+gzip",
}
_OCI_LAYERS = {layer + codec for layer in (LAYER, NONDISTRIBUTABLE_LAYER) for codec in ("", "+gzip", "+zstd")}


def convert_layer_type(media_type: str) -> str:
    """Returns the media type of the OCI image-spec for a media type of Docker's layers; returns any other as it is."""
    return _DOCKER_LAYERS.get(media_type, media_type)


def is_layer_type(media_type: str) -> bool:
    """Returns whether the OCI image-spec has this media type for layers."""
    return media_type in _OCI_LAYERS
