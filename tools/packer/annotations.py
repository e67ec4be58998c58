"""Which paths carry which capabilities, said where admission policies look: in the manifest.

OCI image-spec, "Annotations".
"""

from __future__ import annotations

import json

from . import documents
from .errors import problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

CAPABILITIES = "io.github.rules_setcap.capabilities"
"""On a layer's descriptor: a JSON object of what the layer's files carry, path -> cap_to_text(3), "" where the
layer takes away what a layer below gave. On the manifest: the same of the image as a whole."""


def of_layer(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A layer's descriptor, with the annotation.

    Args:
      layer: its metadata.
    """
    carried = {**layer["capabilities"], **dict.fromkeys(layer.get("removed", ()), "")}
    return {**layer["descriptor"], "annotations": {CAPABILITIES: _encode(carried)}}


def of_image(descriptors: Sequence[Mapping[str, Any]], problems: list[str]) -> dict[str, str]:
    """The annotation of the manifest; none if a layer of the base does not say what it carries.

    Args:
      descriptors: of all layers, the lowest first.
      problems: gets an annotation of the base that is none.
    """
    carried: dict[str, str] = {}
    for descriptor in descriptors:
        annotations = descriptor.get("annotations")
        text = annotations.get(CAPABILITIES) if isinstance(annotations, dict) else None
        if text is None:
            return {}
        try:
            said = documents.parse(text.encode()) if isinstance(text, str) else None
        except documents.DocumentError:
            said = None
        if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
            problems.append(problem("base", text, f"annotation {CAPABILITIES} of {descriptor['digest']} is not a JSON object of paths"))
            return {}
        carried.update(said)
    return {CAPABILITIES: _encode({path: text for path, text in carried.items() if text})}


def _encode(carried: Mapping[str, str]) -> str:
    return json.dumps(carried, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
