"""Layers and images are, byte for byte, what they were; and what no refresh can change."""

from __future__ import annotations

import difflib
import json
import pathlib
import struct
import tarfile

import pytest
from listing import GOLDENS, HERE, digest, unpacked

from support import libcap


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(name):
    path = pathlib.Path(__file__).with_name(name)
    expected = path.read_text() if path.exists() else ""
    found = GOLDENS[name]()
    if found != expected:
        difference = "".join(difflib.unified_diff(expected.splitlines(True), found.splitlines(True), name, "built"))
        pytest.fail(f"{difference}\nIf this is meant: ./bazelw run //tests/golden:update", pytrace=False)


# The capabilities that BUILD.bazel asks for, in the words of cap_from_text(3).
ASKED = {
    "capabilities.tar": {
        "/app/bpf": "cap_bpf,cap_perfmon,cap_net_admin=p",
        "/app/empty": "=",
        "/app/envoy": "cap_net_bind_service=ei",
        "/app/heartbeat": "cap_net_raw,cap_setuid+p",
        "/app/server": "cap_net_bind_service=+ep",
    },
    "image_binary.tar.gz": {"/app/program.elf": "cap_net_bind_service=p"},
    "linked.tar.zst": {"/a/with": "cap_net_raw=p"},
}


# What no refresh of the goldens can silence: all below is recomputed from the bytes, whatever they hold.


@pytest.mark.parametrize("name", ["blocks_gzip.tar.gz", "blocks_zstd.tar.zst", "capabilities.tar", "linked.tar.zst"])
def test_what_a_layer_says_of_itself_is_so(name):
    data = (HERE / name).read_bytes()
    said = json.loads((HERE / (name.partition(".")[0] + ".layer.json")).read_bytes())
    assert said["descriptor"] == _layer(name)
    assert said["diff_id"] == digest(unpacked(data))
    assert sorted(said["capabilities"]) == sorted(_records(HERE / name))


def test_what_an_image_says_of_itself_is_so():
    names = ("capabilities.tar", "image_binary.tar.gz")
    parts = ("manifest", "config", "descriptor")
    manifest, config, descriptor = ((HERE / f"image.{part}.json").read_bytes() for part in parts)
    found = json.loads(descriptor)
    assert (found["digest"], found["size"]) == (digest(manifest), len(manifest))
    found = json.loads(manifest)["config"]
    assert (found["digest"], found["size"]) == (digest(config), len(config))
    assert json.loads(manifest)["layers"] == [_layer(name) for name in names]
    diff_ids = [digest(unpacked((HERE / name).read_bytes())) for name in names]
    assert json.loads(config)["rootfs"]["diff_ids"] == diff_ids


@pytest.mark.parametrize("name", ASKED)
def test_capabilities_are_those_of_libcap(name):
    reference = libcap.Libcap()
    found = {path: _sets(raw) for path, raw in _records(HERE / name).items()}
    assert found == {path: reference.from_text(text) for path, text in ASKED[name].items()}


def _layer(name: str) -> dict[str, object]:
    """The descriptor of a blob."""
    data = (HERE / name).read_bytes()
    kind = {"tar": "tar", "gz": "tar+gzip", "zst": "tar+zstd"}[name.rpartition(".")[2]]
    return {"mediaType": f"application/vnd.oci.image.layer.v1.{kind}", "digest": digest(data), "size": len(data)}


def _records(blob: pathlib.Path) -> dict[str, bytes]:
    """The values of security.capability, by path."""
    key = "SCHILY.xattr.security.capability"
    with tarfile.open(blob) as archive:
        found = {"/" + entry.name: entry.pax_headers.get(key) for entry in archive}
    return {path: value.encode("utf-8", "surrogateescape") for path, value in found.items() if value is not None}


def _sets(raw: bytes) -> libcap.Sets:
    """The sets in vfs_cap_data, revision 2 (linux/capability.h)."""
    magic, permitted, inheritable, permitted_high, inheritable_high = struct.unpack("<5I", raw)
    assert magic in (0x02000000, 0x02000001)
    permitted, inheritable = permitted | permitted_high << 32, inheritable | inheritable_high << 32
    return libcap.Sets(permitted, inheritable, permitted | inheritable if magic & 1 else 0)
