"""An OCI image layout directory whose blobs are links: nothing is copied."""

from __future__ import annotations

import json
import os
import shutil

from .base import blob_path
from .errors import InputError, problem
from .files import write_whole
from .oci import INDEX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

VERSION = b'{"imageLayoutVersion":"1.0.0"}'


def write(
    output: str,
    *,
    manifest: bytes,
    config: bytes,
    descriptor: bytes,
    blobs: Mapping[str, str],
    base_layouts: Sequence[str],
) -> None:
    """Writes the directory.

    Args:
      output: its path; what is there is replaced.
      manifest: the image's manifest.
      config: its config.
      descriptor: of the manifest, as JSON.
      blobs: path of each layer that was built, by digest.
      base_layouts: layout directories that have the others.

    Raises:
      InputError: a layer is missing, or has another size than its descriptor says.
      OSError: it cannot be written.
    """
    contents = json.loads(manifest)
    own = json.loads(descriptor)
    links: dict[str, str] = {}
    wrong: list[str] = []
    for layer in contents["layers"]:
        digest = layer["digest"]
        places = [blobs[digest]] if digest in blobs else [blob_path(layout, digest) for layout in base_layouts]
        found = next((place for place in places if os.path.isfile(place)), None)
        if found is None:
            wrong.append(problem("base", digest, "layer of the image, and in no layout: " + (", ".join(base_layouts) or "there is none")))
        elif os.stat(found).st_size != layer["size"]:
            wrong.append(problem("base", found, f"{os.stat(found).st_size} bytes, and the manifest says {layer['size']}"))
        else:
            links[blob_path(output, digest)] = found
    if wrong:
        raise InputError(wrong)

    _write(output, links, {contents["config"]["digest"]: config, own["digest"]: manifest}, own)


def write_index(output: str, *, index: bytes, descriptor: bytes, layouts: Sequence[str]) -> None:
    """Writes the directory of an image index.

    Args:
      output: its path; what is there is replaced.
      index: the index.
      descriptor: of the index, as JSON.
      layouts: layout directories of its images, and of nothing else.

    Raises:
      OSError: it cannot be written.
    """
    own = json.loads(descriptor)
    links = {}
    for layout in layouts:
        for name in sorted(os.listdir(os.path.join(layout, "blobs", "sha256"))):
            links[blob_path(output, "sha256:" + name)] = blob_path(layout, "sha256:" + name)
    _write(output, links, {own["digest"]: index}, own)


def _write(output: str, links: Mapping[str, str], blobs: Mapping[str, bytes], descriptor: Mapping[str, Any]) -> None:
    """The directory: links by path, blobs by digest, and the descriptor of what it is about."""
    try:
        os.makedirs(os.path.join(output, "blobs", "sha256"), exist_ok=True)
        for link, place in links.items():
            os.symlink(_target(link, place), link)
        for digest, data in blobs.items():
            write_whole(blob_path(output, digest), data)
        write_whole(os.path.join(output, "oci-layout"), VERSION)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]}
        write_whole(os.path.join(output, "index.json"), json.dumps(index, separators=(",", ":")).encode())
    except BaseException:
        shutil.rmtree(output, ignore_errors=True)
        raise


def _target(link: str, place: str) -> str:
    """What the link says: outputs of Bazel lie together wherever they lie; sources are where they are."""
    if place.startswith("bazel-out/"):
        return os.path.relpath(place, os.path.dirname(link))
    return os.path.realpath(place)
