"""Describes what the push of an image consists of: its manifests and configs, the digests of its layers, and its capabilities.

A release reads one description for each image, and neither layers nor their metadata.
"""

from __future__ import annotations

import json
from collections import namedtuple
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import limits, strict_json
from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.oci import image_documents, manifest_checks, media_types
from rules_setcap.oci.blobs import blob_path
from rules_setcap.oci.descriptors import compute_digest
from rules_setcap.oci.layout_reader import parse_layout_document, read_layout_document
from rules_setcap.oci.merged_contents import MergedContents
from rules_setcap.oci.platforms import format_platform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

BuiltImage = namedtuple("BuiltImage", ("manifest", "config", "descriptor", "base", "layers"))
"""An image that other actions of the build wrote. manifest, config, descriptor: bytes; base: list of dict, the contents of the base's
layers that Bazel did not build; layers: list of dict, the metadata of the layers that it built, the lowest first."""


def describe_built_push(images: Sequence[BuiltImage], index: bytes = b"", index_descriptor: bytes = b"") -> dict[str, Any]:
    """Describes the push of an image, or of an index with its images.

    Args:
      images: the images.
      index: the index; b"" for a single image.
      index_descriptor: its descriptor.

    Returns:
      A dict:
        descriptor: the descriptor of what is pushed.
        documents: the texts of all manifests and configs, by digest.
        images: a list of dict for each image: `digest`, `platform`, `built` (the digests of the layers that Bazel built), and
          `capabilities` (by path, as cap_to_text(3) writes them; None if they are not known).
    """
    documents = {compute_digest(data): data.decode() for image in images for data in (image.manifest, image.config)}
    if index:
        documents[compute_digest(index)] = index.decode()
    described = [
        {
            "built": [metadata["descriptor"]["digest"] for metadata in image.layers],
            "capabilities": _merge_capabilities([*image.base, *image.layers]),
            "digest": compute_digest(image.manifest),
            "platform": format_platform(json.loads(image.config)),
        }
        for image in images
    ]
    return {
        "descriptor": _keep_identity(json.loads(index_descriptor or images[0].descriptor)),
        "documents": documents,
        "images": described,
    }


def describe_layout_push(layout: str) -> dict[str, Any]:
    """Describes the push of the only image, or the only index, in an OCI image layout directory.

    Args:
      layout: the path of the directory.

    Returns:
      A dict as describe_built_push() returns it.

    Raises:
      InputError: the layout is not valid, or an image of the index is missing in it.
    """
    descriptor = image_documents.find_only_descriptor(layout)
    documents: dict[str, str] = {}
    images: list[dict[str, Any]] = []
    budget = strict_json.JsonBudget()

    def read(entry: Mapping[str, Any], fields: Any) -> Any:
        data = read_layout_document(blob_path(layout, entry["digest"]), layout)
        if compute_digest(data) != entry["digest"] or len(data) != entry["size"]:
            raise InputError([format_problem("image", layout, f"{entry['digest']} has another digest or size")])
        value = parse_layout_document(data, entry["digest"], layout, fields, budget)
        documents[entry["digest"]] = data.decode()
        return value

    try:
        _walk_manifests(descriptor, read, layout, images, 0)
    except InputError as error:
        raise InputError(text.replace("base: ", "image: ", 1) for text in error.problems) from None
    return {"descriptor": _keep_identity(descriptor), "documents": documents, "images": images}


def _walk_manifests(
    entry: Mapping[str, Any],
    read: Callable[[Mapping[str, Any], Any], Any],
    layout: str,
    images: list[dict[str, Any]],
    depth: int,
) -> None:
    """Reads a manifest or an index, and everything below it but layers; adds the images."""
    manifest = read(entry, strict_json.MANIFEST)
    if fault := manifest_checks.find_manifest_fault(manifest, entry["mediaType"]):
        raise InputError([format_problem("image", layout, fault)])
    if entry["mediaType"] in media_types.INDEXES:
        if depth == limits.INDEX_DEPTH:
            what = f"indexes within indexes, more than {limits.INDEX_DEPTH} deep (limit INDEX_DEPTH)"
            raise InputError([format_problem("image", layout, what)])
        for child in manifest["manifests"]:
            _walk_manifests(child, read, layout, images, depth + 1)
        return
    config = read(manifest["config"], strict_json.CONFIG)
    platform = entry.get("platform") or config
    name = format_platform(platform) if isinstance(platform, dict) and platform.get("os") else ""
    images.append({"built": [], "capabilities": None, "digest": entry["digest"], "platform": name})


def _merge_capabilities(layers: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
    """Returns the capabilities of the files of an image by path; None if engines differ, or if a layer could not be listed."""
    merged = MergedContents()
    for metadata in layers:
        merged.apply_layer(metadata)
    return None if merged.problems or merged.differing_files else dict(sorted(merged.capabilities.items()))


def _keep_identity(descriptor: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a descriptor without annotations and platform."""
    return {name: descriptor[name] for name in ("mediaType", "digest", "size")}
