"""Writes an image as one tar, which container engines load.

The tar is an OCI image layout (OCI image-spec, "OCI Image Layout Specification"). Its index.json has the name of the image
as an annotation, which containerd, podman and Docker with the containerd image store read. Beside it is the
`manifest.json` of `docker save` (moby's image-spec v1.2), which Docker with the classic image store reads.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from rules_setcap.archive import tar
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.oci import image_documents, media_types, reference
from rules_setcap.oci.blobs import BLOBS, CHUNK, blob_path
from rules_setcap.oci.descriptors import encode_document
from rules_setcap.oci.index import build_index_document
from rules_setcap.oci.layout_writer import OCI_LAYOUT
from rules_setcap.oci.platforms import format_platform, split_platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO, Any

_DIRECTORIES = b"blobs/", b"blobs/sha256/"


def read_descriptor(layout: str) -> dict[str, Any]:
    """Returns the descriptor of the only image, or the only index, in an OCI image layout directory.

    Raises:
      InputError: there is not exactly one.
    """
    descriptor = image_documents.find_only_descriptor(layout)
    # The keys have one order, and the names that other tools give the image are left out.
    return {name: descriptor[name] for name in ("mediaType", "digest", "size", "platform") if name in descriptor}


def holds_index(layout: str) -> bool:
    """Returns whether an OCI image layout directory holds an index of images.

    Raises:
      InputError: it holds neither one image nor one index.
    """
    return read_descriptor(layout)["mediaType"] not in media_types.MANIFESTS


def list_platforms(layout: str) -> list[str]:
    """Returns the platforms of the images in an OCI image layout directory, as users write them.

    Raises:
      InputError: an image is not valid.
    """
    return sorted({format_platform(image.config) for image in _read_images(layout, None)})


def find_single_manifest(layout: str, platform: str) -> Mapping[str, Any] | None:
    """Returns the manifest of the image that an engine loads if it cannot load an index.

    Args:
      layout: the path of the OCI image layout directory of an image or an index.
      platform: os/architecture of the engine, to choose an image from an index; "" if it is not known. If the
        index has several variants, the lowest is chosen, because every machine of the architecture runs it.

    Returns:
      The manifest; None if an index has no image for the platform.

    Raises:
      InputError: the image is not valid.
    """
    index_platform = None
    if holds_index(layout):
        if not platform:
            return None
        index_platform = {**split_platform(platform), "variant": ""}
    images = _read_images(layout, index_platform)
    return min(images, key=_get_variant).manifest if images else None


def export_archive(stream: IO[bytes], layout: str, name: str, platform: str = "") -> None:
    """Writes the tar; its bytes do not depend on the host.

    Args:
      stream: the stream to which the tar is written.
      layout: the path of the OCI image layout directory.
      name: the name of the image with its tag; a name without a host means what it means to Docker.
      platform: os/architecture of the image in an index that Docker with the classic image store loads; "" for none.

    Raises:
      InputError: the layout does not hold a single image or index.
      OSError: the layout cannot be read, or the stream cannot be written.
    """
    tag = name.rpartition(":")[2]
    annotations = {"io.containerd.image.name": reference.expand_docker_name(name), "org.opencontainers.image.ref.name": tag}
    index = build_index_document([{**read_descriptor(layout), "annotations": annotations}])
    documents = {b"index.json": encode_document(index), b"oci-layout": OCI_LAYOUT}
    manifest = find_single_manifest(layout, platform)
    if manifest is not None:
        documents[b"manifest.json"] = _encode_docker_manifest(manifest, name)

    for directory in _DIRECTORIES:
        stream.write(tar.format_header(directory, tar.DIRECTORY, mode=0o755))
    blobs = os.path.join(layout, BLOBS)
    for blob in sorted(os.listdir(blobs)):
        path = os.path.join(blobs, blob)
        size = os.stat(path).st_size
        stream.write(tar.format_header(_DIRECTORIES[-1] + blob.encode(), tar.REGULAR, mode=0o644, size=size))
        for piece in _read_pieces(path, size):
            stream.write(piece)
        stream.write(bytes(-size % tar.BLOCK))
    for document, data in sorted(documents.items()):
        stream.write(tar.format_header(document, tar.REGULAR, mode=0o644, size=len(data)) + data + bytes(-len(data) % tar.BLOCK))
    stream.write(tar.END)


def _read_images(layout: str, platform: Mapping[str, str] | None) -> list[image_documents.ImageDocuments]:
    try:
        return image_documents.read_layout_images(layout, platform).images  # type: ignore[no-any-return]
    except InputError as error:
        raise InputError(text.replace("base: ", "image: ", 1) for text in error.problems) from None


def _get_variant(image: image_documents.ImageDocuments) -> str:
    """Returns the variant of an image; one without a variant has v7 for arm, and the first variant for others, as in containerd."""
    config = image.config
    return config.get("variant") or ("v7" if config.get("architecture") == "arm" else "")


def _encode_docker_manifest(manifest: Mapping[str, Any], name: str) -> bytes:
    """Returns the manifest.json of `docker save`."""
    image = {
        "Config": blob_path("", manifest["config"]["digest"]),
        "RepoTags": [name],
        "Layers": [blob_path("", layer["digest"]) for layer in manifest["layers"]],
    }
    return json.dumps([image], separators=(",", ":")).encode()


def _read_pieces(path: str, size: int) -> Iterator[bytes]:
    """Yields the bytes of a file.

    Raises:
      OSError: the file does not have `size` bytes.
    """
    with open_regular(path) as file:
        while piece := file.read(CHUNK):
            size -= len(piece)
            yield piece
    if size:
        raise OSError(0, "its size changed while it was read", path)
