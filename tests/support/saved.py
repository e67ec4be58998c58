"""Archives of images as engines load them."""

from __future__ import annotations

import json
import pathlib
import shutil
import tarfile
from collections.abc import Mapping
from typing import Any

from support import layout as layouts


def write(layouts_by_name: Mapping[str, pathlib.Path], path: pathlib.Path) -> pathlib.Path:
    """Writes OCI layouts of one image each as a tar, with the manifest.json that Docker's classic image store reads.

    Args:
      layouts_by_name: the layouts by image name, such as docker.io/library/test:1.
      path: the tar.

    Returns:
      The path of the tar.
    """
    index: dict[str, Any] = {"schemaVersion": 2, "manifests": []}
    saved = []
    blobs: dict[str, pathlib.Path] = {}

    def place(descriptor: dict[str, Any]) -> str:
        return "blobs/sha256/" + str(descriptor["digest"]).removeprefix("sha256:")

    for name, layout in layouts_by_name.items():
        manifest = layouts.manifest(layout)
        (descriptor,) = json.loads((layout / "index.json").read_bytes())["manifests"]
        descriptor["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
        index["manifests"].append(descriptor)
        tag = name.removeprefix("docker.io/library/")
        saved.append({"Config": place(manifest["config"]), "RepoTags": [tag], "Layers": [place(layer) for layer in manifest["layers"]]})
        blobs |= {"blobs/sha256/" + blob.name: blob for blob in (layout / "blobs/sha256").iterdir()}
    (made := path.with_suffix(".json")).mkdir()
    for file, content in (("index.json", index), ("manifest.json", saved), ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
        (made / file).write_text(json.dumps(content))
    with tarfile.open(path, "w", dereference=True) as tar:
        for file in ("index.json", "manifest.json", "oci-layout"):
            tar.add(made / file, file)
        for file, source in blobs.items():
            tar.add(source, file)
    shutil.rmtree(made)
    return path
