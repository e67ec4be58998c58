"""Writes OCI image layout directories whose blobs are symbolic links, so that no blob is copied."""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.files import open_regular, read_file, write_whole
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.oci.blobs import BLOBS, CHUNK, HashingReader, blob_path
from rules_setcap.oci.index import build_index_document
from rules_setcap.oci.layout_reader import describe_layout_hint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from typing import Any

OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
"""The content of the file oci-layout: OCI image-spec, "oci-layout file"."""


def write_built_layout(
    output: str,
    *,
    documents: Mapping[str, bytes],
    descriptor: Mapping[str, Any],
    blobs: Mapping[str, str],
    base_layouts: Sequence[str],
    left_out: Collection[str] = (),
) -> None:
    """Writes the layout of an image or an index that Bazel built.

    Args:
      output: the path of the directory; what is there is replaced.
      documents: by digest, the manifests and configs of the images, and the index.
      descriptor: the descriptor of the manifest or of the index.
      blobs: by digest, the path of each layer that Bazel built.
      base_layouts: the paths of the layouts that have the other layers.
      left_out: the digests of layers that the layout is to lack.

    Raises:
      InputError: a layer is missing, or does not have the size in its descriptor.
      OSError: the layout cannot be written.
    """
    links: dict[str, str] = {}
    problems = Problems()
    for layer in _list_layers(documents, descriptor["digest"]):
        digest = layer["digest"]
        candidates = [blobs[digest]] if digest in blobs else [blob_path(layout, digest) for layout in base_layouts]
        path = next((candidate for candidate in candidates if os.path.isfile(candidate)), None)
        if path is None:
            if digest in left_out:
                continue
            problems.add("base", digest, "no layout of the base has this layer")
        elif (size := os.stat(path).st_size) != layer["size"]:
            problems.add("base", digest, f"has {size} bytes, and the manifest says {layer['size']}")
        else:
            links[blob_path(output, digest)] = path
    problems.raise_if_any()
    write_layout(output, links, documents, descriptor)


def _list_layers(documents: Mapping[str, bytes], digest: str) -> Iterator[dict[str, Any]]:
    """Yields the descriptors of the layers of an image, or of all images of an index."""
    document = json.loads(documents[digest])
    for image in document.get("manifests", ()):
        yield from _list_layers(documents, image["digest"])
    yield from document.get("layers", ())


def write_index_layout(output: str, *, index: bytes, descriptor: bytes, layouts: Sequence[str]) -> None:
    """Writes the layout of an image index.

    Args:
      output: the path of the directory; what is there is replaced.
      index: the index.
      descriptor: the descriptor of the index, as JSON.
      layouts: the paths of the layouts of its images, which have nothing else.

    Raises:
      OSError: the layout cannot be written.
    """
    index_descriptor = json.loads(descriptor)
    links = {}
    for layout in layouts:
        for name in sorted(os.listdir(os.path.join(layout, BLOBS))):
            links[os.path.join(output, BLOBS, name)] = os.path.join(layout, BLOBS, name)
    write_layout(output, links, {index_descriptor["digest"]: index}, index_descriptor)


def link_layout(output: str, index: str, files: Sequence[str], fetched_blobs: Sequence[str], attribute: str) -> None:
    """Writes a layout whose files are given one by one; its blobs are links to them.

    Args:
      output: the path of the directory; what is there is replaced.
      index: the path of the index.json.
      files: the paths of all files; those that are not beside `index` are left out.
      fetched_blobs: the paths of further blobs, whose names are their hexadecimal digests.
      attribute: the attribute that names the files, for messages.

    Raises:
      InputError: there is no blob among the files.
      OSError: the layout cannot be written.
    """
    root = os.path.dirname(index)
    blobs = [path for path in files if os.path.dirname(path) == os.path.join(root, BLOBS)]
    if not blobs:
        raise InputError(
            [format_problem(attribute, index, "the index.json of an OCI layout without its blobs; give all files of the layout")]
        )
    _write_with_index(output, read_file(index), [*blobs, *fetched_blobs])


def copy_layout(output: str, source: str, attribute: str) -> None:
    """Copies a layout, and verifies every blob.

    Args:
      output: the path of the directory; what is there is replaced.
      source: the path of the layout.
      attribute: the attribute that names the layout, for messages.

    Raises:
      InputError: `source` is not an OCI image layout, or a blob does not have the digest in its name.
      OSError: the layout cannot be read or written.
    """
    index = os.path.join(source, "index.json")
    if not os.path.isfile(index):
        raise InputError([format_problem(attribute, source, f"a directory without index.json{describe_layout_hint(source)}")])
    blobs = os.path.join(source, BLOBS)
    names = sorted(name for name in os.listdir(blobs) if re.fullmatch("[0-9a-f]{64}", name)) if os.path.isdir(blobs) else []
    _write_with_index(output, read_file(index), [])
    problems = Problems()
    for name in names:
        with open_regular(os.path.join(blobs, name)) as file, open(os.path.join(output, BLOBS, name), "wb") as copy:
            reader = HashingReader(file)
            while data := reader.read(CHUNK):
                copy.write(data)
            digest, _ = reader.read_rest()
        if digest != f"sha256:{name}":
            problems.add(attribute, source, f"{quote(os.path.join(BLOBS, name))} has digest {digest}")
    if problems:
        shutil.rmtree(output, ignore_errors=True)
        problems.raise_if_any()


def _write_with_index(output: str, index: bytes, blobs: Sequence[str]) -> None:
    """Writes a layout with the index.json of another one, and links to its blobs."""
    os.makedirs(os.path.join(output, BLOBS), exist_ok=True)
    for path in blobs:
        link = os.path.join(output, BLOBS, os.path.basename(path))
        os.symlink(_choose_target(link, path), link)
    write_whole(os.path.join(output, "oci-layout"), OCI_LAYOUT)
    write_whole(os.path.join(output, "index.json"), index)


def write_layout(output: str, links: Mapping[str, str], documents: Mapping[str, bytes], descriptor: Mapping[str, Any]) -> None:
    """Writes a layout. It may lack blobs.

    Args:
      output: the path of the directory.
      links: by the path of a link, the path of the blob.
      documents: by digest, the blobs that are written.
      descriptor: the only entry of index.json.

    Raises:
      OSError: the layout cannot be written.
    """
    try:
        os.makedirs(os.path.join(output, BLOBS), exist_ok=True)
        for link, path in links.items():
            os.symlink(_choose_target(link, path), link)
        for digest, data in documents.items():
            write_whole(blob_path(output, digest), data)
        write_whole(os.path.join(output, "oci-layout"), OCI_LAYOUT)
        write_whole(
            os.path.join(output, "index.json"), json.dumps(build_index_document([descriptor]), separators=(",", ":")).encode()
        )
    except BaseException:
        shutil.rmtree(output, ignore_errors=True)
        raise


def _choose_target(link: str, path: str) -> str:
    """Returns the target of a link: relative between outputs of Bazel, otherwise absolute."""
    if not link.startswith("bazel-out/"):
        return os.path.abspath(path)  # A temporary directory, which goes before the file does.
    if path.startswith("bazel-out/"):
        return os.path.relpath(path, os.path.dirname(link))
    return os.path.realpath(path)  # A source file. Bazel replaces the links that lead to it.
