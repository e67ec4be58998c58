"""Draws random images for `imagecap set`, and files of them to assign capabilities to."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pathlib
import random
import sys
import tarfile
from dataclasses import dataclass, field
from typing import Any

from rules_setcap import capabilities

RECORD = "SCHILY.xattr.security.capability"
# Among them are those with a byte of 0x80 or more in the attribute.
NAMES = ("net_bind_service", "net_raw", "net_admin", "sys_admin", "bpf", "perfmon", "setuid", "ipc_owner", "sys_nice", "setfcap")
_DIRECTORIES = ("usr/bin", "usr/sbin", "opt/app", "opt/app/bin", "srv", "srv/\u00e4", "usr/libexec/" + "long/" * 20 + "path")
_PROGRAMS = ("server", "nginx", "ping", "agent", "dumb-init", "x" * 90, "caf\u00e9", "with space")
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass
class DrawnImage:
    """An image that was drawn.

    Attributes:
      layout: its OCI layout directory.
      programs: the paths of files that can have capabilities, as a container sees them; hard links of a file once.
      assigned: the capabilities of those that have some, by path.
    """

    layout: pathlib.Path
    programs: list[str]
    assigned: dict[str, bytes] = field(default_factory=dict)


def draw_text(chance: random.Random) -> str:
    """Returns random capability text."""
    names = ",".join(f"cap_{name}" for name in chance.sample(NAMES, chance.randint(1, 4)))
    return f"{names}={chance.choice(['p', 'ep', 'eip', 'i', 'ip', 'ei'])}"


def draw_image(chance: random.Random, directory: pathlib.Path, *, extra: bytes = b"") -> DrawnImage:
    """Writes an OCI layout with one random image for linux/amd64.

    Args:
      chance: the source of randomness.
      directory: the layout, which does not exist yet.
      extra: bytes of a large file in the lowest layer.
    """
    files: dict[str, bytes | None] = {}  # The attribute of each program that a container sees.
    links: dict[str, str] = {}  # By the path of a hard link, that of its file.
    layers = [_draw_layer(chance, number, files, links, b"" if number else extra) for number in range(chance.randint(1, 4))]
    shared = set(links.values())
    programs = sorted(path for path in files if path not in links)
    assigned = {path: value for path, value in files.items() if value is not None}
    assert shared <= set(programs)
    write_layout(chance, directory, layers)
    return DrawnImage(directory, [f"/{path}" for path in programs], {f"/{path}": value for path, value in assigned.items()})


def _draw_layer(chance: random.Random, number: int, files: dict[str, bytes | None], links: dict[str, str], extra: bytes) -> bytes:
    """Returns the tar of a layer, and updates what a container sees."""
    made = io.BytesIO()
    tar_format = chance.choice([tarfile.PAX_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
    with tarfile.open(fileobj=made, mode="w", format=tar_format) as archive:

        def add(path: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **fields: Any) -> None:
            info = tarfile.TarInfo(chance.choice(["", "./"]) + path)
            info.type, info.size = kind, len(content)
            info.mtime = chance.choice([0, 1700000000])
            for name, value in {"mode": 0o755, **fields}.items():
                setattr(info, name, value)
            archive.addfile(info, io.BytesIO(content))

        for directory in chance.sample(_DIRECTORIES, chance.randint(1, 4)):
            add(directory, tarfile.DIRTYPE)
        if not number:
            add("bin", tarfile.SYMTYPE, linkname="usr/bin")
            add("etc/os-release", content=b"ID=random\n", mode=0o644)
            if extra:
                add("usr/share/extra", content=extra, mode=0o644)
        written: list[str] = []
        for _ in range(chance.randint(1, 6)):
            path = f"{chance.choice(_DIRECTORIES)}/{chance.choice(_PROGRAMS)}"
            if path in written or path in links or path in links.values():
                continue
            value = capabilities.from_text(draw_text(chance)).to_xattr() if chance.random() < 0.4 else None
            headers = {} if value is None else {RECORD: value.decode("utf-8", "surrogateescape")}
            if chance.random() < 0.3:
                headers["SCHILY.xattr.user.note"] = chance.choice(["x", "long " * 200])
            if tar_format != tarfile.PAX_FORMAT:
                value, headers = None, {}
            content = b"\x7fELF" + chance.randbytes(chance.choice([0, 100, 508, 5000, 70000]))
            uid = chance.choice([0, 65532, 3_000_000])
            add(path, content=content, uid=uid, mode=chance.choice([0o755, 0o750, 0o555, 0o4755]), pax_headers=headers)
            written.append(path)
            files[path] = value
            if chance.random() < 0.2:
                link = f"opt/link{number}-{len(written)}"
                fields = {"uid": uid, "mode": archive.getmembers()[-1].mode, "pax_headers": headers}
                add(link, tarfile.LNKTYPE, linkname=path, **fields)
                links[link] = path
                files[link] = value
            if chance.random() < 0.2:
                add(f"opt/symlink{number}-{len(written)}", tarfile.SYMTYPE, linkname=f"/{path}")
        removable = [path for path in files if path not in written and path not in links and path not in links.values()]
        if removable and chance.random() < 0.4:
            path = chance.choice(removable)
            add(f"{path.rpartition('/')[0]}/.wh.{path.rpartition('/')[2]}", mode=0)
            del files[path]
        add("srv/script", content=b"#!/bin/sh\n")
    return made.getvalue()


def write_layout(chance: random.Random, directory: pathlib.Path, layers: list[bytes]) -> None:
    """Writes the layout of an image with random compressions, and with documents in the style of a random program."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)
    indent = chance.choice([None, 2, "\t"])

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def encode(value: Any) -> bytes:
        return json.dumps(value, indent=indent, ensure_ascii=chance.random() < 0.5).encode()

    descriptors = [_put_layer(chance, layer, put) for layer in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-02T03:04:05Z",
        "config": {"Entrypoint": ["/usr/bin/<\u00e4>"], "Env": ["PATH=/usr/bin"], "User": "65532"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]},
        "history": [{"created_by": f"COPY {number}"} for number in range(len(layers))],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(encode(config), "application/vnd.oci.image.config.v1+json"),
        "layers": descriptors,
    }
    descriptor = put(encode(manifest), manifest["mediaType"])
    descriptor["platform"] = {"os": "linux", "architecture": "amd64"}
    descriptor["annotations"] = {"org.opencontainers.image.ref.name": "v1"}
    (directory / "index.json").write_bytes(encode({"schemaVersion": 2, "manifests": [descriptor]}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def _put_layer(chance: random.Random, layer: bytes, put: Any) -> dict[str, Any]:
    """Puts a layer, compressed by a random codec; returns its descriptor."""
    codecs = ["none", "gzip", "zstd"] if sys.version_info >= (3, 14) else ["none", "gzip"]
    codec = chance.choice(codecs)
    if codec == "gzip":
        return put(gzip.compress(layer, 6, mtime=chance.choice([0, 1])), f"{_LAYER}+gzip")
    if codec == "zstd":
        from compression import zstd

        return put(zstd.compress(layer), f"{_LAYER}+zstd")
    return put(layer, _LAYER)
