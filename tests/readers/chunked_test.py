"""Layers that real tools write in unusual streams: zstd:chunked by podman, estargz in the shape of stargz-snapshotter."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import pathlib
import tarfile
import zlib

import pytest

from rules_setcap import capabilities
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import image_reader
from support import podman
from support.image import layout, tar

NET = capabilities.from_text("cap_net_bind_service=p")


@pytest.mark.parametrize("compression", ["zstd:chunked", "zstd", "gzip"])
def test_podman(tmp_path: pathlib.Path, compression: str) -> None:
    engine = podman.program(tmp_path)
    source = layout(tmp_path / "source", tar(("/app/server", NET, "x" * 300_000), ("/etc/passwd", None, "root:x:0:0::/:\n")))
    image = podman.run(engine, "pull", "--quiet", f"oci:{source}").splitlines()[-1]
    podman.run(
        engine, "push", "--quiet", f"--compression-format={compression}", "--force-compression", image, f"oci:{tmp_path}/pushed"
    )
    blobs = [path.read_bytes() for path in (tmp_path / "pushed/blobs/sha256").iterdir()]
    magic = b"\x1f\x8b" if compression == "gzip" else b"\x28\xb5\x2f\xfd"
    (layer,) = [blob for blob in blobs if blob.startswith((magic, b"\x50\x2a\x4d\x18"))]
    # The table of contents of zstd:chunked is in skippable frames.
    assert (b"\x50\x2a\x4d\x18" in layer) == (compression == "zstd:chunked")
    (read,) = image_reader.read_images(str(tmp_path / "pushed"))
    assert read.capabilities == {"/app/server": NET}


def test_estargz(tmp_path: pathlib.Path) -> None:
    """A gzip member for each file and for the table of contents, and an empty one at the end with its offset (estargz.md)."""
    plain = tar(("/app/server", NET, "x" * 1000))
    toc = json.dumps({"version": 1, "entries": []}).encode()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        info = tarfile.TarInfo("stargz.index.json")
        info.size = len(toc)
        archive.addfile(info, io.BytesIO(toc))
    head, rest = plain[:1024], plain[1024:].rstrip(b"\0")
    rest += bytes(-(len(head) + len(rest)) % 512)
    members = [gzip.compress(part, mtime=0) for part in (head, rest, made.getvalue())]
    offset = sum(map(len, members[:2]))
    extra = b"SG\x16\x00" + b"%016xSTARGZ" % offset
    empty = zlib.compressobj(0, zlib.DEFLATED, -15).flush()
    footer = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + len(extra).to_bytes(2, "little") + extra + empty + bytes(8)
    assert gzip.decompress(footer) == b""
    (tmp_path / "layer.tar.gz").write_bytes(b"".join(members) + footer)
    (read,) = image_reader.read_images(str(tmp_path / "layer.tar.gz"))
    assert read.capabilities == {"/app/server": NET}
    assert read.layers[0].digest == "sha256:" + hashlib.sha256((tmp_path / "layer.tar.gz").read_bytes()).hexdigest()


def test_xz_in_a_layer_is_refused_by_name(tmp_path: pathlib.Path) -> None:
    """containerd does not read it, whatever Docker and podman do."""
    for name, compress in (("xz", lzma.compress), ("bzip2", bz2.compress)):
        made = layout(tmp_path / name, compress(tar(("/a", NET, "file"))))
        with pytest.raises(InputError, match=f"compressed by {name}, which containerd does not read in layers"):
            image_reader.read_images(str(made))
