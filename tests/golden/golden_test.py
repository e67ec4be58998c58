"""Tests that layers and images have the same bytes as before, and that their digests and capabilities are right."""

from __future__ import annotations

import difflib
import json
import pathlib
import struct
import tarfile

import pytest
from listing import GOLDENS, HERE, compute_digest, decompress

from support import libcap


@pytest.mark.parametrize("name", GOLDENS)
def test_layers_and_images_are_those_of_the_golden_file(name):
    path = pathlib.Path(__file__).with_name(name)
    expected = path.read_text() if path.exists() else ""
    built = GOLDENS[name]()
    if built != expected:
        difference = "".join(difflib.unified_diff(expected.splitlines(True), built.splitlines(True), name, "built"))
        pytest.fail(f"{difference}\nIf this change is intended: ./bazelw run //tests/golden:update", pytrace=False)


# The capabilities that BUILD.bazel assigns, as text of cap_from_text(3).
ASSIGNED = {
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


# The tests below do not read the golden files: they compute everything from the bytes, so an update cannot silence them.


@pytest.mark.parametrize("name", ["blocks_gzip.tar.gz", "blocks_zstd.tar.zst", "capabilities.tar", "linked.tar.zst"])
def test_the_metadata_of_a_layer_describe_its_bytes(name):
    data = (HERE / name).read_bytes()
    metadata = json.loads((HERE / (name.partition(".")[0] + ".layer.json")).read_bytes())
    assert metadata["descriptor"] == describe_blob(name)
    assert metadata["diff_id"] == compute_digest(decompress(data))
    assert sorted(metadata["capabilities"]) == sorted(read_records(HERE / name))


def test_the_documents_of_an_image_describe_its_blobs():
    names = ("capabilities.tar", "image_binary.tar.gz")
    parts = ("manifest", "config", "descriptor")
    manifest, config, descriptor = ((HERE / f"image.{part}.json").read_bytes() for part in parts)
    for described, data in ((json.loads(descriptor), manifest), (json.loads(manifest)["config"], config)):
        assert (described["digest"], described["size"]) == (compute_digest(data), len(data))
    assert json.loads(manifest)["layers"] == [describe_blob(name) for name in names]
    diff_ids = [compute_digest(decompress((HERE / name).read_bytes())) for name in names]
    assert json.loads(config)["rootfs"]["diff_ids"] == diff_ids


@pytest.mark.parametrize("name", ASSIGNED)
def test_libcap_reads_the_text_as_the_same_sets(name):
    reference = libcap.Libcap()
    sets = {path: parse_sets(raw) for path, raw in read_records(HERE / name).items()}
    assert sets == {path: reference.from_text(text) for path, text in ASSIGNED[name].items()}


def describe_blob(name: str) -> dict[str, object]:
    """Returns the OCI descriptor of a layer's blob."""
    data = (HERE / name).read_bytes()
    kind = {"tar": "tar", "gz": "tar+gzip", "zst": "tar+zstd"}[name.rpartition(".")[2]]
    return {"mediaType": f"application/vnd.oci.image.layer.v1.{kind}", "digest": compute_digest(data), "size": len(data)}


def read_records(blob: pathlib.Path) -> dict[str, bytes]:
    """Returns the values of security.capability, by path."""
    key = "SCHILY.xattr.security.capability"
    with tarfile.open(blob) as archive:
        records = {"/" + entry.name: entry.pax_headers.get(key) for entry in archive}
    return {path: value.encode("utf-8", "surrogateescape") for path, value in records.items() if value is not None}


def parse_sets(raw: bytes) -> libcap.Sets:
    """Returns the sets of vfs_cap_data, revision 2 (linux/capability.h)."""
    magic, permitted, inheritable, permitted_high, inheritable_high = struct.unpack("<5I", raw)
    assert magic in (0x02000000, 0x02000001)
    permitted, inheritable = permitted | permitted_high << 32, inheritable | inheritable_high << 32
    return libcap.Sets(permitted, inheritable, permitted | inheritable if magic & 1 else 0)
