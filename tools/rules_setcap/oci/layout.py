"""An OCI image layout directory whose blobs are links: nothing is copied."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil

from rules_setcap.diagnostics.errors import InputError, problem, quote
from rules_setcap.diagnostics.files import open_regular, read_file, write_whole
from rules_setcap.oci.base import blob_path
from rules_setcap.oci.formats import INDEX
from rules_setcap.oci.layout_reader import layout_hint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

VERSION = b'{"imageLayoutVersion":"1.0.0"}'

_BLOBS = os.path.join("blobs", "sha256")
_CHUNK = 1 << 20


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
            wrong.append(problem("base", digest, "no layout of the base has this layer"))
        elif os.stat(found).st_size != layer["size"]:
            wrong.append(problem("base", digest, f"has {os.stat(found).st_size} bytes, and the manifest says {layer['size']}"))
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


def link(output: str, index: str, files: Sequence[str], attribute: str) -> None:
    """Writes the directory of a layout whose files are given one by one; its blobs are links to them.

    Args:
      output: its path; what is there is replaced.
      index: path of the layout's index.json.
      files: paths of all files; those outside the layout are left out.
      attribute: the attribute that names the files, for messages.

    Raises:
      InputError: there is no blob among the files.
      OSError: it cannot be written.
    """
    root = os.path.dirname(index)
    blobs = [path for path in files if os.path.dirname(path) == os.path.join(root, _BLOBS)]
    if not blobs:
        raise InputError([problem(attribute, index, "the index.json of an OCI layout without its blobs; give all files of the layout")])
    _write_with(output, read_file(index), {os.path.basename(path): path for path in blobs})


def copy(output: str, source: str, attribute: str) -> None:
    """Copies the directory of a layout, verifying every blob.

    Args:
      output: its path; what is there is replaced.
      source: path of the layout.
      attribute: the attribute that names it, for messages.

    Raises:
      InputError: it is not an OCI layout, or a blob does not have the digest that its name says.
      OSError: it cannot be read or written.
    """
    index = os.path.join(source, "index.json")
    if not os.path.isfile(index):
        raise InputError([problem(attribute, source, f"a directory without index.json{layout_hint(source)}")])
    blobs = os.path.join(source, _BLOBS)
    names = sorted(name for name in os.listdir(blobs) if re.fullmatch("[0-9a-f]{64}", name)) if os.path.isdir(blobs) else []
    _write_with(output, read_file(index), {})
    wrong: list[str] = []
    for name in names:
        digest = hashlib.sha256()
        with open_regular(os.path.join(blobs, name)) as file, open(os.path.join(output, _BLOBS, name), "wb") as made:
            while data := file.read(_CHUNK):
                digest.update(data)
                made.write(data)
        if digest.hexdigest() != name:
            wrong.append(problem(attribute, source, f"{quote(os.path.join(_BLOBS, name))} has digest sha256:{digest.hexdigest()}"))
    if wrong:
        shutil.rmtree(output, ignore_errors=True)
        raise InputError(wrong)


def _write_with(output: str, index: bytes, links: Mapping[str, str]) -> None:
    """Writes the directory with an index.json as it is, and links as blobs by name."""
    os.makedirs(os.path.join(output, _BLOBS), exist_ok=True)
    for name, path in links.items():
        blob = os.path.join(output, _BLOBS, name)
        os.symlink(_target(blob, path), blob)
    write_whole(os.path.join(output, "oci-layout"), VERSION)
    write_whole(os.path.join(output, "index.json"), index)


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
    """Returns the text of a link: relative between outputs of Bazel, absolute to a source."""
    if place.startswith("bazel-out/"):
        return os.path.relpath(place, os.path.dirname(link))
    return os.path.realpath(place)
