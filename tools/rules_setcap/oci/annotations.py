"""Annotations that tell admission policies which files of an image have which capabilities.

OCI image-spec, "Annotations".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci.merged_contents import MergedContents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

CAPABILITIES_ANNOTATION = "io.github.rules_setcap.capabilities"
"""The key of the annotation, whose value is a JSON object with the capabilities of files by path, as cap_to_text(3) writes them.

The annotation of a manifest has every file of the merged root filesystem that has capabilities. The annotation of a layer's
descriptor has the files whose capabilities the layer changes: "" for a file that has capabilities in the layers below and
none from this layer on.
"""


def annotate_capabilities(
    base: Sequence[Mapping[str, Any]], layers: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Returns the annotations of an image, and of each layer on top of its base.

    Args:
      base: contents and metadata of the layers of the base, the lowest first.
      layers: metadata of the layers on top of the base, the lowest first.

    Raises:
      InputError: the contents of the base could not be listed, or engines differ about the capabilities of a file.
    """
    merged = MergedContents()
    for metadata in base:
        merged.apply_layer(metadata)
    layer_annotations = []
    for metadata in layers:
        before = dict(merged.capabilities)
        merged.apply_layer(metadata)
        removed = dict.fromkeys(before.keys() - merged.capabilities.keys(), "")
        changed = {path: text for path, text in merged.capabilities.items() if before.get(path) != text}
        layer_annotations.append({CAPABILITIES_ANNOTATION: _encode_capabilities({**removed, **changed})})
    if problems := merged.problems + merged.describe_uncertain_files():
        raise InputError(problems)
    return {CAPABILITIES_ANNOTATION: _encode_capabilities(merged.capabilities)}, layer_annotations


def _encode_capabilities(capabilities: Mapping[str, str]) -> str:
    return json.dumps(capabilities, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
