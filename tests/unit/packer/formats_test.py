"""What a layer can be made to hold: single modes, owners, attributes, links, parents, huge files."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import resource
import tarfile
from typing import Any

import pytest

from support import packer


def _entries(layer: packer.Layer, *flags: str) -> dict[str, tarfile.TarInfo]:
    assert layer.pack(*flags) == (0, "")
    with tarfile.open(layer.blob) as archive:
        return {entry.name: entry for entry in archive}


def test_modes_owners_and_attributes(tmp_path):
    layer = packer.Layer(tmp_path).add("/a/one", b"1").add("/a/two", b"2").add("/a/link", type="hardlink", target="/a/one")
    entries = _entries(
        layer,
        packer.change("modes", "/a/one", mode="0640"),
        packer.change("owners", "/a/one", owner="5:4294967294"),
        packer.change("xattrs", "/a/one", xattrs=["user.text=a=b", "user.hex=0x00ff", "user.base=0sAAH/"]),
    )
    for name in ("a/one", "a/link"):
        one = entries[name]
        assert (one.mode, one.uid, one.gid) == (0o640, 5, 4294967294)
        headers = {key: value.encode("utf-8", "surrogateescape") for key, value in one.pax_headers.items()}
        assert headers["SCHILY.xattr.user.text"] == b"a=b"
        assert headers["SCHILY.xattr.user.hex"] == b"\0\xff"
        assert headers["SCHILY.xattr.user.base"] == b"\0\1\xff"
    assert (entries["a/two"].mode, entries["a/two"].uid) == (0o755, 0)
    assert "SCHILY.xattr.user.text" not in entries["a/two"].pax_headers


def test_what_is_wrong_with_them(tmp_path):
    layer = packer.Layer(tmp_path).add("/a", b"1")
    done = layer.pack(
        packer.change("modes", "/a", mode="rwx"),
        packer.change("modes", "/b", mode="0644"),
        packer.change("owners", "/a", owner="root"),
        packer.change("owners", "/a", owner="0:4294967295"),
        packer.change("xattrs", "/a", xattrs=["comment=x", "user.a", "user.b=0xabc", "user.c=0s!", "user.d=1", "user.d=2"]),
        packer.change("xattrs", "/a", xattrs=["security.capability=0x00"]),
    )
    assert done.status == 1
    assert [line.removeprefix("//app:image: ") for line in done.stderr.splitlines()] == [
        'modes: "/a": mode "rwx" is not valid; write permissions in octal, as "0755"',
        'modes: "/b": no entry of this layer has this path',
        'owners: "/a": owner "root" is none; write uid:gid in numbers, as "65532:65532"',
        'owners: "/a": owner "0:4294967295" is none; write uid:gid in numbers, as "65532:65532"',
        'xattrs: "comment=x": of /a: write "name=value", the name with its namespace, as user.comment',
        'xattrs: "user.a": of /a: write "name=value", the name with its namespace, as user.comment',
        'xattrs: "user.b=0xabc": of /a: its value is neither hex after 0x nor base64 after 0s',
        'xattrs: "user.c=0s!": of /a: its value is neither hex after 0x nor base64 after 0s',
        'xattrs: "user.d=2": of /a: user.d is there twice',
        'xattrs: "security.capability=0x00": of /a: capabilities are for file_capabilities to say',
    ]


def test_attributes_that_container_engines_could_not_read(tmp_path):
    layer = packer.Layer(tmp_path).add("/a", b"1")
    words = [f"user.{number}=0x" + "00" * 65536 for number in range(16)]
    assert layer.pack(packer.change("xattrs", "/a", xattrs=words[1:])) == (0, "")
    os.unlink(layer.blob)
    os.unlink(tmp_path / "metadata")
    done = layer.pack(packer.change("xattrs", "/a", xattrs=words))
    assert done == (1, '//app:image: xattrs: "/a": 1048678 bytes in all; container engines read 1032192\n')
    assert layer.outputs() == []


def test_equal_files_become_links_where_asked(tmp_path):
    layer = packer.Layer(tmp_path)
    for name, content in {"b": b"\x7fELFsame", "a": b"\x7fELFsame", "c": b"\x7fELFelse", "mode": b"\x7fELFsame", "cap": b"\x7fELFsame", "x": b"", "y": b""}.items():
        layer.add(f"/{name}", content, mode="0700" if name == "mode" else "0755")
    grant = packer.grant("/cap", "kill")
    assert not any(entry.islnk() for entry in _entries(layer, grant).values())
    entries = _entries(layer, "--hard-links=yes", grant)
    assert {name: entry.linkname for name, entry in entries.items() if entry.islnk()} == {"b": "a"}
    twin = packer.Layer(tmp_path / "twin")
    (tmp_path / "twin").mkdir()
    twin.add("/a", b"\x7fELFsame").add("/b", b"\x7fELFsame")
    both = _entries(twin, "--hard-links=yes", packer.grant("/a", "kill"), packer.grant("/b", "kill"))
    record = "SCHILY.xattr.security.capability"
    assert both["b"].islnk() and both["a"].pax_headers[record] == both["b"].pax_headers[record]
    # A link that was there before leads to the file, not to a link that comes after it.
    twin.add("/above", type="hardlink", target="/b")
    links = _entries(twin, "--hard-links=yes")
    assert [(name, entry.linkname) for name, entry in links.items()] == [("a", ""), ("above", "a"), ("b", "a")]


def test_parents(tmp_path):
    layer = packer.Layer(tmp_path).add("/a/b/c", b"")
    assert list(_entries(layer)) == ["a", "a/b", "a/b/c"]
    assert list(_entries(layer, "--parents=none")) == ["a/b/c"]
    (tmp_path / "source-below").write_text(json.dumps({"directories": ["/a", "/x"]}))
    assert list(_entries(layer, "--parents=missing", "--below=source-below")) == ["a/b", "a/b/c"]


def _layout(directory: Any, *layers: list[tuple[str, bytes]]) -> None:
    """An OCI layout whose layers have these entries: name and type."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data)}

    descriptors, diff_ids = [], []
    for entries in layers:
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            for name, kind in entries:
                entry = tarfile.TarInfo(name)
                entry.type = kind
                archive.addfile(entry)
        diff_ids.append("sha256:" + hashlib.sha256(tar.getvalue()).hexdigest())
        descriptors.append(put(gzip.compress(tar.getvalue()), "application/vnd.oci.image.layer.v1.tar+gzip"))
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    config_descriptor = put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
    manifest = {"schemaVersion": 2, "config": config_descriptor, "layers": descriptors}
    (directory / "index.json").write_text(
        json.dumps({"manifests": [put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")]})
    )


D, F = tarfile.DIRTYPE, tarfile.REGTYPE


def test_parents_that_a_base_lacks(tmp_path):
    _layout(
        tmp_path / "source-base",
        [("./usr/", D), ("usr/bin", D), ("gone", D), ("gone/sub", D), ("opaque", D), ("opaque/sub", D), ("replaced", D)],
        [(".wh.gone", F), ("opaque/.wh..wh..opq", F), ("opaque/new", D), ("replaced", F)],
    )
    layer = packer.Layer(tmp_path)
    for path in ("/usr/bin/x", "/gone/sub/x", "/opaque/sub/x", "/opaque/new/x", "/replaced/x"):
        layer.add(path, b"")
    entries = _entries(layer, "--parents=missing", "--below-layout=source-base", "--platform=linux/amd64/")
    assert [name for name, entry in entries.items() if entry.isdir()] == ["gone", "gone/sub", "opaque/sub", "replaced"]


@pytest.mark.parametrize("damage", ["flip", "cut", "grow"])
def test_a_base_layer_that_lies(tmp_path, damage):
    _layout(tmp_path / "source-base", [(f"d{number}", D) for number in range(100)])
    (blob,) = (path for path in (tmp_path / "source-base/blobs/sha256").iterdir() if path.read_bytes()[:2] == b"\x1f\x8b")
    data = bytearray(blob.read_bytes())
    if damage == "flip":
        data[-9] ^= 1
    blob.write_bytes(data[:-20] if damage == "cut" else data + b"x" if damage == "grow" else data)
    layer = packer.Layer(tmp_path).add("/d1/x", b"")
    done = layer.pack("--parents=missing", "--below-layout=source-base", "--platform=linux/amd64/")
    assert done.status == 1
    assert done.stderr.startswith('//app:image: base: "source-base": ')
    assert layer.outputs() == []


def test_stamp(tmp_path):
    (tmp_path / "source-status").write_text("BUILD_EMBED_LABEL \nBUILD_TIMESTAMP 1700000000\n")
    layer = packer.Layer(tmp_path).add("/a", b"")
    assert _entries(layer, "--stamp=source-status")["a"].mtime == 1700000000
    (tmp_path / "source-status").write_text("BUILD_TIMESTAMP soon\n")
    done = layer.pack("--stamp=source-status")
    assert done == (1, '//app:image: stamp: "source-status": has no BUILD_TIMESTAMP\n')


def test_a_file_of_more_than_8_gib(tmp_path):
    """Its size fits no octal field; its holes cost neither disk nor memory."""
    size = (8 << 30) + 1
    layer = packer.Layer(tmp_path).add("/huge", b"")
    os.truncate(tmp_path / "source0", size)
    assert layer.pack("--compression=zstd") == (0, "")
    assert layer.blob.stat().st_size < 1 << 20
    from compression import zstd

    with zstd.open(layer.blob) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        entry = archive.next()
        assert entry is not None and (entry.name, entry.size) == ("huge", size)


@pytest.mark.parametrize("compression", ["gzip", "libdeflate", "none", "zstd"])
@pytest.mark.parametrize("shape", ["many files", "one file"])
def test_memory_is_bounded(tmp_path, shape, compression):
    """64 MiB, whatever the layer's size, up to 20,000 files."""
    layer = packer.Layer(tmp_path)
    if shape == "one file":
        layer.add("/large", b"")
        with open(tmp_path / "source0", "wb") as file:
            for _ in range(150):  # By itself: what this process holds would count for its children.
                file.write(os.urandom(1 << 20))
    else:
        layer.add("/0", b"content")
        layer.lines += [json.dumps({"path": f"/some/directory/{number // 100}/file{number}", "source": "source0"}) for number in range(19999)]
    assert layer.pack(*packer.compressed(compression), "--threads=2") == (0, "")
    # Of the largest child so far: this one, or one that was within the bound, too.
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert largest < 64 << 10, f"{largest} KiB"
