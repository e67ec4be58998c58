"""Each program that users read layers with finds the files that were packed."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pathlib
import random
import stat
import subprocess
import tarfile

import pytest
from compression import zstd

from support import layout as layouts
from support import packer, require
from support import podman as podmans

ELF = b"\x7fELF" + bytes(range(256)) * 3
LARGE = random.Random(0).randbytes(5 << 20)
NAMES = "app", "app/naïve 日本", "app/" + "long-name-" * 15
# By path, the capabilities as text and as the attribute in hex. cap_setuid and cap_bpf cause bytes of 0x80 or more.
CAPABILITIES = {
    "/app/server": ("cap_net_bind_service=p", "0000000200040000000000000000000000000000"),
    "/app/naïve 日本": ("cap_setuid=ep", "0100000280000000000000000000000000000000"),
    "/" + NAMES[2]: ("cap_net_admin,cap_perfmon,cap_bpf=p", "000000020010000000000000c000000000000000"),
    "/app/other-name": ("cap_net_bind_service=p", "0000000200040000000000000000000000000000"),
    "/app/empty-record": ("=", "0000000200000000000000000000000000000000"),
}


@pytest.fixture(scope="module", params=["gzip", "zlib", "zstd"])
def layer(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> packer.Layer:
    """A layer with an entry of each type, and a file of several blocks."""
    layer = packer.Layer(tmp_path_factory.mktemp("layer"))
    layer.add("/app/server", ELF, uid=65532, gid=65532)
    for name in NAMES[1:]:
        layer.add("/" + name, ELF * 2)
    layer.add("/app/empty-record", ELF)
    layer.add("/app/other-name", type="hardlink", target="/app/server")
    layer.add("/app/link", type="symlink", target="server")
    layer.add("/app/plain", b"text\n", mode="0640")
    layer.add("/app/nothing")
    layer.add("/app/large", LARGE)
    layer.add("/var/lib/data", type="directory", mode="0700")
    done = layer.pack(
        packer.assign("/app/server", "net_bind_service"),
        packer.assign("/" + NAMES[1], "cap_setuid=ep"),
        packer.assign("/" + NAMES[2], "bpf", "perfmon", "net_admin"),
        packer.assign("/app/empty-record", "="),
        *packer.make_compression_flags(request.param),
    )
    assert done == (0, "")
    return layer


def _check_files(root: pathlib.Path) -> None:
    """Checks the files that a reader unpacked as root."""
    for path, (_, data) in CAPABILITIES.items():
        assert os.getxattr(root / path[1:], "security.capability").hex() == data, path
    for name in ("plain", "nothing"):
        assert "security.capability" not in os.listxattr(root / "app" / name)
    server = (root / "app/server").stat()
    assert (server.st_uid, server.st_gid, stat.S_IMODE(server.st_mode)) == (65532, 65532, 0o755)
    assert server.st_ino == (root / "app/other-name").stat().st_ino
    assert (root / "app/server").read_bytes() == ELF
    assert (root / NAMES[2]).read_bytes() == ELF * 2
    assert os.readlink(root / "app/link") == "server"
    assert stat.S_IMODE((root / "app/plain").stat().st_mode) == 0o640
    assert (root / "app/nothing").read_bytes() == b""
    assert (root / "app/large").read_bytes() == LARGE
    assert stat.S_IMODE((root / "var/lib/data").stat().st_mode) == 0o700


def _run_getcap(root: pathlib.Path) -> dict[str, str]:
    """Returns the capabilities of files by path, as libcap's getcap prints them."""
    output = subprocess.run([require.tool("getcap"), "-r", "."], cwd=root, check=True, capture_output=True, text=True).stdout
    # Each line is the path, a space and the text, and paths may have spaces.
    assigned = {}
    for line in output.splitlines():
        path = max((name for name in CAPABILITIES if line.startswith("." + name)), key=len, default=line)
        assigned[path] = line[len("." + path) :].strip()
    return assigned


def test_the_metadata_agrees_with_the_blob(layer):
    metadata = layer.metadata()
    blob = layer.blob.read_bytes()
    codec, media_type = (gzip, "tar+gzip") if blob.startswith(b"\x1f\x8b") else (zstd, "tar+zstd")
    unpacked = codec.decompress(blob)
    assert metadata["descriptor"] == {
        "mediaType": f"application/vnd.oci.image.layer.v1.{media_type}",
        "digest": "sha256:" + hashlib.sha256(blob).hexdigest(),
        "size": len(blob),
    }
    assert metadata["diff_id"] == "sha256:" + hashlib.sha256(unpacked).hexdigest()
    assert metadata["capabilities"] == {path: text for path, (text, _) in CAPABILITIES.items()}


def test_tarfile_of_python_reads_the_layer(layer):
    with tarfile.open(layer.blob) as archive:
        entries = archive.getmembers()
    names = [entry.name for entry in entries]
    plain = [entry.name + "/" * entry.isdir() for entry in entries if not entry.islnk()]
    assert plain == sorted(plain, key=str.encode)
    assert names[-1] == "app/other-name"
    assert {"app", "var", "var/lib"} <= set(names)
    assert all(entry.mtime == 0 and not entry.uname for entry in entries)


def test_gnu_tar_unpacks_the_layer(layer, tmp_path):
    require.root()
    subprocess.run(
        [require.tool("tar"), "--xattrs", "--xattrs-include=*", "-xpf", str(layer.blob), "-C", str(tmp_path)], check=True
    )
    _check_files(tmp_path)
    assert _run_getcap(tmp_path) == {path: text for path, (text, _) in CAPABILITIES.items()}


def test_bsdtar_unpacks_the_layer(layer, tmp_path):
    require.root()
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run([require.tool("bsdtar"), "-xpf", str(layer.blob), "-C", str(tmp_path)], check=True, env=environment)
    _check_files(tmp_path)


@pytest.fixture(scope="module")
def layout(layer) -> pathlib.Path:
    """The OCI image layout of an image with the layer."""
    spec = {
        "os": "linux",
        "architecture": "amd64",
        "variant": "",
        "entrypoint": ["/app/server"],
        "cmd": None,
        "env": {},
        "user": "65532",
        "working_dir": "",
        "exposed_ports": [],
        "volumes": [],
        "labels": {},
        "annotations": {},
        "stop_signal": "",
        "created": "",
    }
    (layer.directory / "spec").write_text(json.dumps(spec))
    outputs = [f"--{name}-output={name}" for name in ("manifest", "config", "descriptor")]
    assert packer.run("image", "--spec=spec", "--layer=metadata", *outputs, cwd=layer.directory) == (0, "")
    inputs = [f"--{name}={name}" for name in ("manifest", "config", "descriptor")]
    assert packer.run(
        "layout", *inputs, "--layer-metadata=metadata", "--layer-blob=blob", "--output=layout", cwd=layer.directory
    ) == (0, "")
    return layer.directory / "layout"


def test_umoci_unpacks_the_image(layout, tmp_path):
    require.root()
    name = layouts.copy_tagged(layout, tmp_path / "layout")
    subprocess.run([require.tool("umoci"), "unpack", "--image", name, str(tmp_path / "bundle")], check=True)
    _check_files(tmp_path / "bundle" / "rootfs")


def test_skopeo_copies_the_image_with_its_digests(layout, tmp_path):
    """The blobs of the layout are links."""
    (tmp_path / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    skopeo = [require.tool("skopeo"), "--policy", str(tmp_path / "policy.json"), "--tmpdir", str(tmp_path)]
    subprocess.run([*skopeo, "copy", "--quiet", f"oci:{layout}", f"oci:{tmp_path}/copy:test"], check=True)
    index, copy = (json.loads((path / "index.json").read_bytes()) for path in (layout, tmp_path / "copy"))
    assert copy["manifests"][0]["digest"] == index["manifests"][0]["digest"]
    for blob in (layout / "blobs" / "sha256").iterdir():
        assert (tmp_path / "copy" / "blobs" / "sha256" / blob.name).read_bytes() == blob.read_bytes()


def test_podman_unpacks_the_image(layout, tmp_path):
    podman = podmans.write_program(tmp_path)
    image = podmans.run(podman, "pull", "--quiet", f"oci:{layout}")
    _check_files(pathlib.Path(podmans.run(podman, "image", "mount", image)))
    podmans.run(podman, "image", "unmount", image)
