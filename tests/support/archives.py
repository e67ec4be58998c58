"""Writes image archives in the forms of programs that the tests cannot run."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pathlib
import tarfile
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

Members = dict[str, bytes | str]
"""The members of an archive by name: the bytes of a file, or the target of a symbolic link."""

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
PLATFORM = {"os": "linux", "architecture": "amd64"}


class Image(NamedTuple):
    """An image: its config, and its layers as tars, from the lowest to the highest."""

    config: bytes
    layers: tuple[bytes, ...]


def image(*layers: bytes, **config: Any) -> Image:
    """Returns an image for linux/amd64; `config` is added to its config."""
    fields = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"User": "65532"},
        "rootfs": {"type": "layers", "diff_ids": list(map(digest, layers))},
    }
    return Image(json.dumps({**fields, **config}).encode(), layers)


def digest(data: bytes) -> str:
    """Returns the digest of a blob."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_archive(path: pathlib.Path, members: Members | Iterable[tuple[str, bytes | str]]) -> pathlib.Path:
    """Writes an archive, and returns its path."""
    with tarfile.open(path, "w") as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return path


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _saved(config: str, layers: Iterable[str], **more: Any) -> bytes:
    return json.dumps([{"Config": config, "RepoTags": ["app:1"], "Layers": list(layers), **more}]).encode()


def crane(image: Image) -> Members:
    """Returns the members that go-containerregistry's tarball writes, and with it crane, ko and kaniko."""
    layers = [gzip.compress(layer, mtime=0) for layer in image.layers]
    config = "sha256:" + _hex(image.config)
    names = [_hex(layer) + ".tar.gz" for layer in layers]
    return {config: image.config, **dict(zip(names, layers, strict=True)), "manifest.json": _saved(config, names)}


def jib(image: Image) -> Members:
    """Returns the members of jib-image.tar, which jib writes."""
    layers = {_hex(layer) + ".tar.gz": gzip.compress(layer, mtime=0) for layer in image.layers}
    return {**layers, "config.json": image.config, "manifest.json": _saved("config.json", layers)}


def docker_1_10(image: Image) -> Members:
    """Returns the members that Docker 1.10 to 24 and rules_docker write. A repeated layer is a link."""
    members: Members = {}
    names: list[str] = []
    for number, layer in enumerate(image.layers):
        identifier = _hex(b"%d" % number + layer)
        names.append(f"{identifier}/layer.tar")
        same = image.layers.index(layer)
        members[f"{identifier}/VERSION"] = b"1.0"
        members[f"{identifier}/json"] = json.dumps({"id": identifier}).encode()
        members[names[-1]] = layer if same == number else f"../{names[same]}"
    config = _hex(image.config) + ".json"
    repositories = json.dumps({"app": {"1": names[-1].partition("/")[0]}}).encode()
    return {**members, config: image.config, "manifest.json": _saved(config, names, Parent=""), "repositories": repositories}


def nix(image: Image) -> Members:
    """Returns the members that dockerTools.streamLayeredImage of Nix writes."""
    layers = {_hex(layer) + "/layer.tar": layer for layer in image.layers}
    config = _hex(image.config) + ".json"
    return {**layers, config: image.config, "manifest.json": _saved(config, layers)}


def apko(image: Image) -> Members:
    """Returns the members that apko writes: an index beside manifest.json, and no layout, whose blobs have other names."""
    layout = buildkit(image)
    index = json.loads(layout["index.json"])
    digest = index["manifests"][0]["digest"]
    return {**crane(image), digest: layout[f"blobs/sha256/{digest[7:]}"], "index.json": layout["index.json"]}


def buildkit(image: Image, *others: dict[str, Any], blobs: Iterable[bytes] = ()) -> Members:
    """Returns the members that `docker buildx build --output type=oci` writes.

    Args:
      image: the image.
      *others: further descriptors in index.json.
      blobs: further blobs.
    """
    layers = [gzip.compress(layer, mtime=0) for layer in image.layers]
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, image.config),
            "layers": [descriptor(LAYER + "+gzip", layer) for layer in layers],
        }
    ).encode()
    index = {"schemaVersion": 2, "manifests": [descriptor(MANIFEST, manifest), *others]}
    files = {f"blobs/sha256/{_hex(data)}": data for data in (image.config, manifest, *layers, *blobs)}
    return {**files, "index.json": json.dumps(index).encode(), "oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}


def docker_25(image: Image) -> Members:
    """Returns the members that Docker from 25 on, nerdctl, and `docker buildx build --output type=docker` write."""
    members = buildkit(image)
    places = [f"blobs/sha256/{_hex(gzip.compress(layer, mtime=0))}" for layer in image.layers]
    return {**members, "manifest.json": _saved(f"blobs/sha256/{_hex(image.config)}", places)}


def docker_25_by_id(image: Image) -> Members:
    """Returns the members that `docker save ID` writes since Docker 25: the index names no image, manifest.json does."""
    return {**docker_25(image), "index.json": b'{"schemaVersion":2,"manifests":null}'}


def descriptor(media_type: str, data: bytes, **more: Any) -> dict[str, Any]:
    """Returns the descriptor of a blob; `more` are further fields."""
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


WRITERS: dict[str, Callable[[Image], Members]] = {
    "apko": apko,
    "buildkit": buildkit,
    "crane": crane,
    "docker 1.10": docker_1_10,
    "docker 25": docker_25,
    "docker 25 by id": docker_25_by_id,
    "jib": jib,
    "nix": nix,
}


class Layout:
    """An OCI layout to which manifests are added."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def put(self, value: Any, media_type: str, **more: Any) -> dict[str, Any]:
        """Adds a blob, and returns its descriptor."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        (self.path / "blobs/sha256" / digest(data)[7:]).write_bytes(data)
        return descriptor(media_type, data, **more)

    def manifest(self, config: Any, layers: list[tuple[bytes, str]], config_type: str = CONFIG, **more: Any) -> dict[str, Any]:
        """Adds a manifest, and returns its descriptor."""
        described = [self.put(data, media_type) for data, media_type in layers]
        value = {"schemaVersion": 2, "mediaType": MANIFEST, "config": self.put(config, config_type), "layers": described, **more}
        return self.put(value, MANIFEST)

    def image(self, layer: bytes, **more: Any) -> dict[str, Any]:
        """Adds an image of one layer, and returns its descriptor; `more` are further fields of its config."""
        return self.manifest(config(layer, **more), [(layer, LAYER)])

    def index(self, *entries: dict[str, Any]) -> pathlib.Path:
        """Writes index.json, and returns the path of the layout."""
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
        return self.path


def config(*layers: bytes, **more: Any) -> dict[str, Any]:
    """Returns the config of an image for linux/amd64."""
    rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}
    return {**PLATFORM, "config": {}, "rootfs": rootfs, **more}
