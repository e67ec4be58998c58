"""Builds an image index, which has one image for each platform: OCI image-spec, "OCI Image Index Specification"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.oci import media_types
from rules_setcap.oci.descriptors import sort_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from rules_setcap.diagnostics.problems import Problems

# The variants that clients assume where an index names none (containerd, platforms.Normalize).
_DEFAULT_VARIANTS = {"arm": "v7", "arm64": "v8"}


def build_index(
    images: Iterable[tuple[str, Mapping[str, Any]]], annotations: Mapping[str, str], problems: Problems
) -> dict[str, Any]:
    """Returns the index, with its images in the order of `images`.

    Args:
      images: the label of each image, and the descriptor of its manifest, which names the platform.
      annotations: the annotations of the index; the key is left out if there are none.
      problems: collects the platforms for which there is more than one image.
    """
    labels: dict[tuple[str, ...], str] = {}
    manifests = []
    for label, descriptor in images:
        platform = descriptor["platform"]
        architecture = platform["architecture"]
        key = platform["os"], architecture, platform.get("variant") or _DEFAULT_VARIANTS.get(architecture, "")
        if key in labels:
            what = f"{labels[key]} and {label} are both for this platform; an index has one image for each"
            problems.add("images", "/".join(filter(None, key)), what)
        labels.setdefault(key, label)
        manifests.append(descriptor)
    index = build_index_document(manifests)
    if annotations:
        index["annotations"] = sort_keys(annotations)
    return index


def build_index_document(manifests: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns an index without annotations, which is also what an index.json holds.

    Args:
      manifests: the descriptors of its images.
    """
    return {"schemaVersion": 2, "mediaType": media_types.INDEX, "manifests": list(manifests)}
