"""Draws random images, which tests change in one known thing."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pathlib
import random
import tarfile
from dataclasses import dataclass, field
from typing import Any

from rules_setcap import capabilities
from support.image import RECORD

CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CAPABILITY_NAMES = ("cap_net_bind_service", "cap_sys_admin", "cap_net_raw", "cap_setuid", "cap_bpf", "cap_ipc_owner")


@dataclass
class Entry:
    """An entry of a layer: the fields of its header, its pax records and its content."""

    path: str
    kind: bytes = tarfile.REGTYPE
    content: bytes = b""
    link: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = 0
    uname: str = ""
    gname: str = ""
    device: tuple[int, int] = (0, 0)
    records: dict[str, str] = field(default_factory=dict)

    def set_capabilities(self, text: str, rootid: int = 0) -> None:
        """Assigns capabilities."""
        value = capabilities.from_text(text)._replace(rootid=rootid).to_xattr()
        self.records[RECORD] = value.decode("utf-8", "surrogateescape")


@dataclass
class Layer:
    """A layer: its entries, and how it is written."""

    entries: list[Entry]
    compression: str = ""
    gzip_time: int = 0
    padding: int = 0

    def write_tar(self) -> bytes:
        """Returns the tar."""
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for entry in self.entries:
                info = tarfile.TarInfo(entry.path.strip("/"))
                info.type, info.linkname, info.mode, info.mtime = entry.kind, entry.link, entry.mode, entry.mtime
                info.uid, info.gid, info.uname, info.gname = entry.uid, entry.gid, entry.uname, entry.gname
                info.devmajor, info.devminor = entry.device
                info.size = len(entry.content)
                info.pax_headers = dict(entry.records)
                archive.addfile(info, io.BytesIO(entry.content))
        return made.getvalue() + bytes(self.padding)

    def write_blob(self) -> tuple[bytes, str]:
        """Returns the blob and its media type."""
        tar = self.write_tar()
        if self.compression == "gzip":
            return gzip.compress(tar, 6, mtime=self.gzip_time), LAYER + "+gzip"
        if self.compression == "zstd":
            from compression import zstd

            return zstd.compress(tar), LAYER + "+zstd"
        return tar, LAYER


@dataclass
class Image:
    """An image, or an index with one image for each platform.

    Attributes:
      layers: the layers.
      config: the config, without rootfs.
      manifest: further fields of the manifest.
      index: further fields of the index; None without an index.
      platforms: the architectures of the index.
      indent: the indentation of the config's JSON.
    """

    layers: list[Layer]
    config: dict[str, Any]
    manifest: dict[str, Any] = field(default_factory=dict)
    index: dict[str, Any] | None = None
    platforms: list[str] = field(default_factory=lambda: ["amd64"])
    indent: int | None = None

    def list_capable_paths(self) -> set[str]:
        """Returns the paths of the files with capabilities."""
        return {entry.path for layer in self.layers for entry in layer.entries if RECORD in entry.records}

    def write_layout(self, directory: pathlib.Path) -> pathlib.Path:
        """Writes an OCI layout."""
        blobs = directory / "blobs/sha256"
        blobs.mkdir(parents=True)

        def put(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
            digest = hashlib.sha256(data).hexdigest()
            (blobs / digest).write_bytes(data)
            return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data), **more}

        descriptors = []
        for architecture in self.platforms:
            diff_ids = ["sha256:" + hashlib.sha256(layer.write_tar()).hexdigest() for layer in self.layers]
            rootfs = {"type": "layers", "diff_ids": diff_ids}
            config = {"architecture": architecture, "os": "linux", **self.config, "rootfs": rootfs}
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": put(json.dumps(config, indent=self.indent).encode(), CONFIG),
                "layers": [put(*layer.write_blob()) for layer in self.layers],
                **self.manifest,
            }
            platform = {"os": "linux", "architecture": architecture}
            descriptors.append(put(json.dumps(manifest).encode(), MANIFEST, platform=platform))
        if self.index is not None:
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors, **self.index}
            descriptors = [put(json.dumps(index).encode(), INDEX)]
        (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": descriptors}))
        (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        return directory


def draw_image(rng: random.Random) -> Image:
    """Returns a random image."""
    layers = []
    for number in range(rng.randint(1, 3)):
        folder = f"/opt/{number}{rng.choice('abc')}"
        entries = [Entry(folder, tarfile.DIRTYPE, mode=0o755)]
        for index in range(rng.randint(4, 12)):
            path = f"{folder}/{rng.choice(('file', 'bin', 'data'))}{index}"
            entry = Entry(path, content=rng.randbytes(rng.choice((0, 1, 511, 512, 3000))), mode=rng.choice((0o644, 0o755)))
            if rng.random() < 0.3:
                entry.set_capabilities(f"{rng.choice(CAPABILITY_NAMES)}={rng.choice(('p', 'ep', 'ei'))}")
            entries.append(entry)
        entries.append(Entry(f"{folder}/link", tarfile.SYMTYPE, link="file0", mode=0o777))
        entries.append(Entry(f"{folder}/first", content=b"first"))
        entries.append(Entry(f"{folder}/second", content=b"first"))
        entries.append(Entry(f"{folder}/hard", tarfile.LNKTYPE, link=f"{folder.strip('/')}/first"))
        entries.append(Entry(f"{folder}/tty", tarfile.CHRTYPE, device=(5, number + 1)))
        layers.append(Layer(entries, rng.choice(("", "gzip", "zstd"))))
    history = [{"created": "1970-01-01T00:00:00Z", "created_by": f"layer {number}"} for number in range(len(layers))]
    config = {
        "created": "1970-01-01T00:00:00Z",
        "config": {"User": "65532", "Env": ["PATH=/bin", "HOME=/"], "Entrypoint": ["/app"], "Labels": {"a.b": "c"}},
        "history": history,
    }
    return Image(layers, config, index=rng.choice((None, None, {})))
