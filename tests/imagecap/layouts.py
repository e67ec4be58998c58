"""Makes OCI layouts by hand for the tests of `imagecap set`."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

from support.image import tar

ELF = b"\x7fELF" + bytes(range(200)) * 9
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


class Layout:
    """An OCI layout that is being made; its directory is `path`."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def put(self, value: Any, media_type: str, **more: Any) -> dict[str, Any]:
        """Puts a blob: bytes, or a value that is written as JSON. Returns its descriptor, with more fields."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        (self.path / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data), **more}

    def put_image(self, *layers: bytes, architecture: str = "amd64", **more: Any) -> dict[str, Any]:
        """Puts an image of uncompressed layers; returns the descriptor of its manifest.

        Args:
          *layers: the layers as tars.
          architecture: the architecture.
          **more: more fields of the manifest.
        """
        diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
        platform = {"os": "linux", "architecture": architecture}
        config = self.put({**platform, "rootfs": {"type": "layers", "diff_ids": diff_ids}}, CONFIG)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": [self.put(layer, LAYER) for layer in layers],
            **more,
        }
        return self.put(manifest, MANIFEST, platform=platform)

    def write_index(self, *entries: dict[str, Any]) -> pathlib.Path:
        """Writes index.json; returns the directory."""
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
        return self.path


def read_blob(layout: pathlib.Path, digest: str) -> Any:
    """Returns the value of a JSON blob."""
    return json.loads((layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes())


def read_index(layout: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the descriptors in index.json."""
    return json.loads((layout / "index.json").read_bytes())["manifests"]


def program_layer(*paths: str, content: bytes = ELF) -> bytes:
    """Returns a layer with a program at each path."""
    return tar(*((path, None, content) for path in paths))
