"""Writes OCI layouts by hand, such as base images of other projects."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pathlib
import tarfile
from collections.abc import Sequence
from typing import Any, NamedTuple


class Member(NamedTuple):
    """An entry of a layer; `records` are pax records."""

    name: str
    type: bytes = tarfile.REGTYPE
    mode: int = 0o755
    owner: tuple[int, int] = (0, 0)
    link: str = ""
    content: bytes = b""
    records: dict[str, str] | None = None


def directory(name: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Member:
    return Member(name, tarfile.DIRTYPE, mode, (uid, gid))


def symlink(name: str, target: str) -> Member:
    return Member(name, tarfile.SYMTYPE, 0o777, link=target)


def layer(members: Sequence[Member]) -> bytes:
    """Returns a layer as a tar."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            entry = tarfile.TarInfo(member.name)
            entry.type, entry.mode, entry.linkname = member.type, member.mode, member.link
            entry.uid, entry.gid = member.owner
            entry.size, entry.pax_headers = len(member.content), dict(member.records or {})
            archive.addfile(entry, io.BytesIO(member.content))
    return tar.getvalue()


def write(path: pathlib.Path, *layers: Sequence[Member], config: dict[str, Any] | None = None) -> pathlib.Path:
    """Writes a layout of one image for linux/amd64, and returns its path.

    Args:
      path: the directory of the layout.
      *layers: the entries of each layer, from the lowest to the highest layer.
      config: the field `config` of the image's config.
    """
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data)}

    tars = [layer(members) for members in layers]
    descriptors = [put(gzip.compress(tar, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip") for tar in tars]
    diff_ids = ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    image_config = {"os": "linux", "architecture": "amd64", "config": config or {}, "rootfs": rootfs}
    config_descriptor = put(json.dumps(image_config).encode(), "application/vnd.oci.image.config.v1+json")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config_descriptor,
        "layers": descriptors,
    }
    index = {"schemaVersion": 2, "manifests": [put(json.dumps(manifest).encode(), manifest["mediaType"])]}
    (path / "index.json").write_text(json.dumps(index))
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return path
