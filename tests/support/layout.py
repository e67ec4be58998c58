"""Reads OCI layouts with hashlib and json only, so that tests do not depend on the code under test."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
from typing import Any


def blob(layout: pathlib.Path, descriptor: dict[str, Any]) -> bytes:
    """Returns the blob of a descriptor, and checks its digest and size."""
    data = (layout / "blobs" / "sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()
    assert "sha256:" + hashlib.sha256(data).hexdigest() == descriptor["digest"]
    assert len(data) == descriptor["size"]
    return data


def manifest(layout: pathlib.Path) -> dict[str, Any]:
    """Returns the manifest of the only image of a layout."""
    index = json.loads((layout / "index.json").read_bytes())
    (descriptor,) = index["manifests"]
    return json.loads(blob(layout, descriptor))


def config(layout: pathlib.Path) -> dict[str, Any]:
    """Returns the config of the only image of a layout."""
    return json.loads(blob(layout, manifest(layout)["config"]))


def copy_tagged(layout: pathlib.Path, target: pathlib.Path) -> str:
    """Copies a layout, and gives its image the tag "test", which umoci requires.

    Returns:
      The name of the image for umoci: the path of the copy and the tag.
    """
    shutil.copytree(layout, target)
    for name in [target, *target.rglob("*")]:
        os.chmod(name, 0o755)
    index = json.loads((target / "index.json").read_bytes())
    index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "test"}
    (target / "index.json").write_text(json.dumps(index))
    return f"{target}:test"
