"""Annotations that tell admission policies which paths have which capabilities.

OCI image-spec, "Annotations".
"""

from __future__ import annotations

import json

from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci.merged import Merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

CAPABILITIES = "io.github.rules_setcap.capabilities"
"""The annotation: a JSON object of cap_to_text(3) by path.

On the manifest it has every file of the merged root filesystem that has capabilities. On a layer's descriptor it has what
the layer changes: "" is the text of a file that has capabilities in the layers below, and none from this layer on.
"""


def annotate(below: Sequence[Mapping[str, Any]], layers: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Returns the annotations of an image, and those of the layers that are built.

    Args:
      below: contents and metadata of the base, the lowest first.
      layers: metadata of the other layers, the lowest first.

    Raises:
      InputError: the contents of the base could not be listed, or engines differ about the capabilities of a file.
    """
    merged = Merged()
    for metadata in below:
        merged.apply(metadata)
    annotations = []
    for metadata in layers:
        before = dict(merged.capabilities)
        merged.apply(metadata)
        removed = dict.fromkeys(before.keys() - merged.capabilities.keys(), "")
        changed = {path: text for path, text in merged.capabilities.items() if before.get(path) != text}
        annotations.append({CAPABILITIES: _encode({**removed, **changed})})
    if problems := merged.problems + merged.uncertain():
        raise InputError(problems)
    return {CAPABILITIES: _encode(merged.capabilities)}, annotations


def _encode(capabilities: Mapping[str, str]) -> str:
    return json.dumps(capabilities, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
