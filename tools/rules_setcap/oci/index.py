"""An image index, one image for each platform: OCI image-spec, "Image Index"."""

from __future__ import annotations

from rules_setcap.diagnostics.errors import problem
from rules_setcap.oci import formats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Mapping

# What an architecture without variant means to those that pick from an index (containerd, platforms.Normalize).
_VARIANTS = {"arm": "v7", "arm64": "v8"}


def build(
    images: Iterable[tuple[str, Mapping[str, Any]]], annotations: Mapping[str, str], problems: list[str]
) -> dict[str, Any]:
    """The index, with its images in the order given.

    Args:
      images: what the user calls each, and the descriptor of its manifest with its platform.
      annotations: of the index.
      problems: gets platforms that more than one image is for.
    """
    names: dict[tuple[str, ...], str] = {}
    manifests = []
    for name, descriptor in images:
        platform = descriptor["platform"]
        architecture = platform["architecture"]
        key = platform["os"], architecture, platform.get("variant") or _VARIANTS.get(architecture, "")
        if key in names:
            said = f"{names[key]} and {name} are both for this platform; an index has one image for each"
            problems.append(problem("images", "/".join(filter(None, key)), said))
        names.setdefault(key, name)
        manifests.append(descriptor)
    index: dict[str, Any] = {"schemaVersion": 2, "mediaType": formats.INDEX, "manifests": manifests}
    if annotations:
        index["annotations"] = dict(sorted(annotations.items()))
    return index
