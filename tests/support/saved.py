"""Writes image archives that engines load."""

from __future__ import annotations

import json
import pathlib
import shutil
import tarfile
from collections.abc import Mapping
from typing import Any

from support import layout as layouts


def write_archive(layouts_by_name: Mapping[str, pathlib.Path], path: pathlib.Path) -> pathlib.Path:
    """Writes OCI layouts of one image each to an archive, with the manifest.json that Docker's classic image store reads.

    Args:
      layouts_by_name: the layouts by image name, such as docker.io/library/test:1.
      path: the path of the archive.

    Returns:
      The path of the archive.
    """
    index: dict[str, Any] = {"schemaVersion": 2, "manifests": []}
    saved = []
    blobs: dict[str, pathlib.Path] = {}

    def get_blob_path(descriptor: dict[str, Any]) -> str:
        return "blobs/sha256/" + str(descriptor["digest"]).removeprefix("sha256:")

    for name, layout in layouts_by_name.items():
        manifest = layouts.manifest(layout)
        (descriptor,) = json.loads((layout / "index.json").read_bytes())["manifests"]
        descriptor["annotations"] = {
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        }
        index["manifests"].append(descriptor)
        tag = name.removeprefix("docker.io/library/")
        saved.append(
            {
                "Config": get_blob_path(manifest["config"]),
                "RepoTags": [tag],
                "Layers": [get_blob_path(layer) for layer in manifest["layers"]],
            }
        )
        blobs |= {"blobs/sha256/" + blob.name: blob for blob in (layout / "blobs/sha256").iterdir()}
    (documents := path.with_suffix(".json")).mkdir()
    for file, content in (("index.json", index), ("manifest.json", saved), ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
        (documents / file).write_text(json.dumps(content))
    with tarfile.open(path, "w", dereference=True) as tar:
        for file in ("index.json", "manifest.json", "oci-layout"):
            tar.add(documents / file, file)
        for file, source in blobs.items():
            tar.add(source, file)
    shutil.rmtree(documents)
    return path
