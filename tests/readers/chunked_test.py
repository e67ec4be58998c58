"""Layers that are several compressed streams are read: zstd:chunked of podman, and eStargz of stargz-snapshotter."""

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
def test_layers_that_podman_compresses_are_read(tmp_path: pathlib.Path, compression: str) -> None:
    engine = podman.write_program(tmp_path)
    source = layout(tmp_path / "source", tar(("/app/server", NET, "x" * 300_000), ("/etc/passwd", None, "root:x:0:0::/:\n")))
    image_id = podman.run(engine, "pull", "--quiet", f"oci:{source}").splitlines()[-1]
    podman.run(
        engine,
        "push",
        "--quiet",
        f"--compression-format={compression}",
        "--force-compression",
        image_id,
        f"oci:{tmp_path}/pushed",
    )
    blobs = [path.read_bytes() for path in (tmp_path / "pushed/blobs/sha256").iterdir()]
    magic = b"\x1f\x8b" if compression == "gzip" else b"\x28\xb5\x2f\xfd"
    (layer,) = [blob for blob in blobs if blob.startswith((magic, b"\x50\x2a\x4d\x18"))]
    # The table of contents of zstd:chunked is in skippable frames.
    assert (b"\x50\x2a\x4d\x18" in layer) == (compression == "zstd:chunked")
    (image,) = image_reader.read_images(str(tmp_path / "pushed"))
    assert image.capabilities == {"/app/server": NET}


def test_an_estargz_layer_is_read(tmp_path: pathlib.Path) -> None:
    """It has a gzip member for each file, one for the table of contents, and an empty one with the offset of that (estargz.md)."""
    layer = tar(("/app/server", NET, "x" * 1000))
    toc = json.dumps({"version": 1, "entries": []}).encode()
    index = io.BytesIO()
    with tarfile.open(fileobj=index, mode="w") as archive:
        info = tarfile.TarInfo("stargz.index.json")
        info.size = len(toc)
        archive.addfile(info, io.BytesIO(toc))
    head, rest = layer[:1024], layer[1024:].rstrip(b"\0")
    rest += bytes(-(len(head) + len(rest)) % 512)
    members = [gzip.compress(part, mtime=0) for part in (head, rest, index.getvalue())]
    offset = sum(map(len, members[:2]))
    extra = b"SG\x16\x00" + b"%016xSTARGZ" % offset
    empty = zlib.compressobj(0, zlib.DEFLATED, -15).flush()
    footer = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + len(extra).to_bytes(2, "little") + extra + empty + bytes(8)
    assert gzip.decompress(footer) == b""
    (tmp_path / "layer.tar.gz").write_bytes(b"".join(members) + footer)
    (image,) = image_reader.read_images(str(tmp_path / "layer.tar.gz"))
    assert image.capabilities == {"/app/server": NET}
    assert image.layers[0].digest == "sha256:" + hashlib.sha256((tmp_path / "layer.tar.gz").read_bytes()).hexdigest()


def test_a_layer_in_a_format_that_containerd_does_not_read_is_refused(tmp_path: pathlib.Path) -> None:
    """Docker and podman read these formats."""
    for name, compress in (("xz", lzma.compress), ("bzip2", bz2.compress)):
        image = layout(tmp_path / name, compress(tar(("/a", NET, "file"))))
        with pytest.raises(InputError, match=f"compressed by {name}, which containerd does not read in layers"):
            image_reader.read_images(str(image))
