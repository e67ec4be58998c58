"""Whether an image, or index, is the very one that is expected."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from packer.base import blob_path
from packer.errors import InputError, problem

_DIGEST = re.compile("sha256:[0-9a-f]{64}", re.ASCII)


def check(layout: str, expected: str, target: str) -> list[str]:
    """What it is instead, down to its layers, and the command that writes that into the BUILD file; nothing if it is.

    Args:
      layout: an OCI image layout directory of one image or index.
      expected: its digest.
      target: the test's label.

    Raises:
      InputError: `expected` is no digest.
    """
    if not _DIGEST.fullmatch(expected):
        what = "no digest; write sha256: and 64 hexadecimal digits (with zeros, the test says which)"
        raise InputError([problem("digest", expected, what)])
    (descriptor,) = _load(os.path.join(layout, "index.json"))["manifests"]
    if descriptor["digest"] == expected:
        return []
    said = [problem("digest", expected, f"the image is {descriptor['digest']}, made of"), *_parts(layout, descriptor, "  ")]
    return [*said, f"if that is right, run\n  buildozer 'set digest {descriptor['digest']}' {target}"]


def _parts(layout: str, descriptor: dict[str, Any], indent: str) -> list[str]:
    content = _load(blob_path(layout, descriptor["digest"]))
    if "manifests" not in content:
        return [f"{indent}{name} {each['digest']}" for name, each in _named(content)]
    lines = []
    for each in content["manifests"]:
        platform = each.get("platform", {})
        lines.append(f"{indent}{platform.get('os')}/{platform.get('architecture')} {each['digest']}")
        lines += _parts(layout, each, indent + "  ")
    return lines


def _named(manifest: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [("config", manifest["config"]), *((f"layer {at}", each) for at, each in enumerate(manifest["layers"]))]


def _load(path: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        found: dict[str, Any] = json.load(file)
        return found
