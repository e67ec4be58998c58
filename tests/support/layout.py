"""Images as the tests read them: an OCI layout directory, by hashlib and json alone."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
from typing import Any


def blob(layout: pathlib.Path, descriptor: dict[str, Any]) -> bytes:
    """The bytes that `descriptor` names, checked against its digest and size."""
    data = (layout / "blobs" / "sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()
    assert "sha256:" + hashlib.sha256(data).hexdigest() == descriptor["digest"]
    assert len(data) == descriptor["size"]
    return data


def manifest(layout: pathlib.Path) -> dict[str, Any]:
    """The manifest of the only image in `layout`."""
    index = json.loads((layout / "index.json").read_bytes())
    (descriptor,) = index["manifests"]
    return json.loads(blob(layout, descriptor))


def config(layout: pathlib.Path) -> dict[str, Any]:
    """The config of the only image in `layout`."""
    return json.loads(blob(layout, manifest(layout)["config"]))


def tagged(layout: pathlib.Path, target: pathlib.Path) -> str:
    """A copy of `layout` whose image is called "test", as umoci asks for one.

    Returns: umoci's name for it.
    """
    shutil.copytree(layout, target)
    for name in [target, *target.rglob("*")]:
        os.chmod(name, 0o755)
    index = json.loads((target / "index.json").read_bytes())
    index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "test"}
    (target / "index.json").write_text(json.dumps(index))
    return f"{target}:test"
