"""Writes an image as one tar, which container engines load.

The tar is an OCI image layout (OCI image-spec, "Image Layout"). Its index.json has the image's name as an annotation,
where containerd, podman and Docker with the containerd image store read it. Beside it is the `manifest.json` of
`docker save` (moby's image-spec v1.2), which Docker with the classic image store reads.
"""

from __future__ import annotations

import json
import os

from rules_setcap.archive import tar
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.oci import base, formats, reference
from rules_setcap.oci.base import blob_path
from rules_setcap.oci.layout import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, Iterator, Mapping

_CHUNK = 1 << 20
_DIRECTORIES = b"blobs/", b"blobs/sha256/"


def descriptor(layout: str) -> dict[str, Any]:
    """Returns the descriptor of the only image, or index, in an OCI layout directory.

    Raises:
      InputError: there is not exactly one.
    """
    found = base.only_descriptor(layout)
    # In one order, and without the names that other tools give the image.
    return {name: found[name] for name in ("mediaType", "digest", "size", "platform") if name in found}


def is_index(layout: str) -> bool:
    """Returns whether an OCI layout directory holds an index of images.

    Raises:
      InputError: it holds neither one image nor one index.
    """
    return descriptor(layout)["mediaType"] not in base.MANIFESTS


def platforms(layout: str) -> list[str]:
    """Returns the platforms of the images in an OCI layout directory, as users write them.

    Raises:
      InputError: an image is not valid.
    """
    return sorted({formats.platform_text(image.config) for image in _images(layout, None)})


def single_manifest(layout: str, platform: str) -> Mapping[str, Any] | None:
    """Returns the manifest of the image that an engine loads if it cannot load an index.

    Args:
      layout: OCI layout directory of an image or an index.
      platform: os/architecture of the engine, to choose an image from an index; "" if it is not known. Of several
        variants the lowest is chosen, because every machine of the architecture runs it.

    Returns:
      The manifest; None if an index has no image for the platform.

    Raises:
      InputError: the image is not valid.
    """
    wanted = None
    if is_index(layout):
        if not platform:
            return None
        system, architecture = platform.split("/")[:2]
        wanted = {"os": system, "architecture": architecture, "variant": ""}
    images = _images(layout, wanted)
    return min(images, key=_variant).manifest if images else None


def write(stream: IO[bytes], layout: str, name: str, platform: str = "") -> None:
    """Writes the tar; its bytes do not depend on the host.

    Args:
      stream: takes it, piece by piece.
      layout: OCI layout directory.
      name: the image's name with its tag; without a host it means what it means to Docker.
      platform: os/architecture of the image in an index that Docker with the classic image store loads; "" for none.

    Raises:
      InputError: the layout does not hold a single image or index.
      OSError: the layout cannot be read, or the stream cannot be written.
    """
    tag = name.rpartition(":")[2]
    annotations = {"io.containerd.image.name": reference.docker_name(name), "org.opencontainers.image.ref.name": tag}
    index = {"schemaVersion": 2, "mediaType": formats.INDEX, "manifests": [{**descriptor(layout), "annotations": annotations}]}
    files = {b"index.json": formats.encode(index), b"oci-layout": VERSION}
    manifest = single_manifest(layout, platform)
    if manifest is not None:
        files[b"manifest.json"] = _docker_save(manifest, name)

    for directory in _DIRECTORIES:
        stream.write(tar.format_header(directory, tar.DIRECTORY, mode=0o755))
    blobs = os.path.join(layout, "blobs", "sha256")
    for blob in sorted(os.listdir(blobs)):
        path = os.path.join(blobs, blob)
        size = os.stat(path).st_size
        stream.write(tar.format_header(_DIRECTORIES[-1] + blob.encode(), tar.REGULAR, mode=0o644, size=size))
        for piece in _pieces(path, size):
            stream.write(piece)
        stream.write(bytes(-size % tar.BLOCK))
    for file, data in sorted(files.items()):
        stream.write(tar.format_header(file, tar.REGULAR, mode=0o644, size=len(data)) + data + bytes(-len(data) % tar.BLOCK))
    stream.write(tar.END)


def _images(layout: str, platform: Mapping[str, str] | None) -> list[base.Base]:
    try:
        return base.load_all(layout, platform)
    except InputError as error:
        raise InputError(text.replace("base: ", "image: ", 1) for text in error.problems) from None


def _variant(image: base.Base) -> str:
    """Returns the variant of an image's architecture; containerd takes none for v7 of arm, and for the first of others."""
    config = image.config
    return config.get("variant") or ("v7" if config.get("architecture") == "arm" else "")


def _docker_save(manifest: Mapping[str, Any], name: str) -> bytes:
    """Returns the manifest.json of `docker save`."""
    image = {
        "Config": _path_in_tar(manifest["config"]),
        "RepoTags": [name],
        "Layers": [_path_in_tar(layer) for layer in manifest["layers"]],
    }
    return json.dumps([image], separators=(",", ":")).encode()


def _path_in_tar(blob: Mapping[str, Any]) -> str:
    return blob_path("", blob["digest"])


def _pieces(path: str, size: int) -> Iterator[bytes]:
    """Yields the bytes of a file.

    Raises:
      OSError: it has not `size` bytes.
    """
    with open_regular(path) as file:
        while piece := file.read(_CHUNK):
            size -= len(piece)
            yield piece
    if size:
        raise OSError(0, "its size changed while it was read", path)
