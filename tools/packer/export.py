"""An image as one tar, which container engines load.

It is an OCI image layout (OCI image-spec, "Image Layout"), with its name where containerd,
podman and Docker 25 look for it, and beside that the `manifest.json` of `docker save`
(moby's image-spec v1.2), for older Dockers.
"""

from __future__ import annotations

import json
import os

from . import base, oci, tar
from .base import blob_path
from .layout import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, Iterator

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


def write(stream: IO[bytes], layout: str, name: str) -> None:
    """Writes the tar; the same bytes whatever the host.

    Args:
      stream: takes it, piece by piece.
      layout: OCI layout directory.
      name: the image's, `host/path:tag`.

    Raises:
      InputError: the layout is not one of a single image or index.
      OSError: the layout cannot be read, or the stream not be written.
    """
    own = descriptor(layout)
    annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [{**own, "annotations": annotations}]}
    files = {b"index.json": oci.encode(index), b"oci-layout": VERSION}
    if own["mediaType"] in base.MANIFESTS:
        files[b"manifest.json"] = _docker(layout, own, name)

    for directory in _DIRECTORIES:
        stream.write(tar.header(directory, tar.DIRECTORY, mode=0o755))
    blobs = os.path.join(layout, "blobs", "sha256")
    for blob in sorted(os.listdir(blobs)):
        path = os.path.join(blobs, blob)
        size = os.stat(path).st_size
        stream.write(tar.header(_DIRECTORIES[-1] + blob.encode(), tar.REGULAR, mode=0o644, size=size))
        for piece in _pieces(path, size):
            stream.write(piece)
        stream.write(bytes(-size % tar.BLOCK))
    for file, data in sorted(files.items()):
        stream.write(tar.header(file, tar.REGULAR, mode=0o644, size=len(data)) + data + bytes(-len(data) % tar.BLOCK))
    stream.write(tar.END)


def _docker(layout: str, own: dict[str, Any], name: str) -> bytes:
    """The manifest.json of `docker save`."""
    with open(blob_path(layout, own["digest"]), encoding="utf-8") as file:
        manifest = json.load(file)
    image = {
        "Config": _place(manifest["config"]),
        "RepoTags": [name],
        "Layers": [_place(layer) for layer in manifest["layers"]],
    }
    return json.dumps([image], separators=(",", ":")).encode()


def _place(blob: dict[str, Any]) -> str:
    """Where in the tar a blob is."""
    return blob_path("", blob["digest"])


def _pieces(path: str, size: int) -> Iterator[bytes]:
    """The bytes of a file.

    Raises:
      OSError: it has not `size` bytes.
    """
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_CHUNK):
            size -= len(piece)
            yield piece
    if size:
        raise OSError(0, "its size changed while it was read", path)
