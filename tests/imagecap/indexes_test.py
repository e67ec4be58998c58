"""`imagecap set` changes the images of an index, and what names them."""

from __future__ import annotations

import json
import pathlib

import pytest
from layouts import INDEX, Layout, read_blob, read_index
from running import run_imagecap, set_capabilities
from samples import GRANT, LOWER, UPPER, list_members, read_capabilities, way  # noqa: F401 (image and way are fixtures)


@pytest.fixture
def index(tmp_path: pathlib.Path) -> tuple[pathlib.Path, dict[str, str]]:
    """A layout with an index of two platforms, an attestation of one of them and a signature; and the digests of these."""
    layout = Layout(tmp_path / "index")
    amd64 = layout.put_image(LOWER, UPPER)
    arm64 = layout.put_image(LOWER, architecture="arm64")
    empty = layout.put(b"{}", "application/vnd.oci.empty.v1+json")
    statement = layout.put(b"statement", "application/vnd.in-toto+json")
    attestation = layout.put(
        {"schemaVersion": 2, "config": empty, "layers": [statement], "artifactType": "application/vnd.in-toto+json"},
        "application/vnd.oci.image.manifest.v1+json",
        annotations={"vnd.docker.reference.digest": amd64["digest"], "vnd.docker.reference.type": "attestation-manifest"},
    )
    nested = layout.put({"schemaVersion": 2, "mediaType": INDEX, "manifests": [amd64, arm64, attestation]}, INDEX)
    signature = layout.put(
        {"schemaVersion": 2, "config": empty, "layers": [statement], "subject": nested},
        "application/vnd.oci.image.manifest.v1+json",
    )
    tagged = {**nested, "annotations": {"org.opencontainers.image.ref.name": "v1"}}
    names = {"amd64": amd64, "arm64": arm64, "attestation": attestation, "signature": signature, "nested": nested}
    return layout.write_index(tagged, signature), {name: entry["digest"] for name, entry in names.items()}


def test_all_platforms_of_an_index_are_changed(tmp_path, index, way):
    report = set_capabilities(*way, index[0], tmp_path / "new", GRANT)
    assert [image["platform"] for image in report["images"]] == ["linux/amd64", "linux/arm64"]
    for platform in ("linux/amd64", "linux/arm64"):
        assert read_capabilities(tmp_path / "new", platform)["/usr/bin/nginx"] == "cap_net_bind_service=ep"
    (tagged, signature) = read_index(tmp_path / "new")
    assert tagged["annotations"] == {"org.opencontainers.image.ref.name": "v1"}
    assert signature["digest"] == index[1]["signature"]
    nested = read_blob(tmp_path / "new", tagged["digest"])
    assert [entry["platform"]["architecture"] for entry in nested["manifests"][:2]] == ["amd64", "arm64"]
    assert nested["manifests"][2]["digest"] == index[1]["attestation"]
    assert {note.partition(" ")[0] for note in report["notes"]} == {index[1]["attestation"], index[1]["signature"]}


def test_one_platform_of_an_index_is_changed(tmp_path, index, way):
    report = set_capabilities(*way, "--platform=linux/arm64", index[0], tmp_path / "new", GRANT)
    assert [image["platform"] for image in report["images"]] == ["linux/arm64"]
    assert "/usr/bin/nginx" not in read_capabilities(tmp_path / "new", "linux/amd64")
    assert "/usr/bin/nginx" in read_capabilities(tmp_path / "new", "linux/arm64")
    (tagged, _) = read_index(tmp_path / "new")
    nested = read_blob(tmp_path / "new", tagged["digest"])
    assert nested["manifests"][0]["digest"] == index[1]["amd64"]


def test_a_file_that_one_platform_lacks_is_reported_with_the_platform(tmp_path, index, way):
    done = run_imagecap("set", *way, index[0], tmp_path / "new", "/usr/bin/ping=bpf")
    assert done.status == 2
    assert done.stderr.endswith("(linux/arm64)\n")
    done = run_imagecap("set", *way, "--platform=linux/s390x", index[0], tmp_path / "new", GRANT)
    assert 'has no image for it; it has "linux/amd64", "linux/arm64"' in done.stderr


def test_a_docker_archive_of_several_platforms_needs_one(tmp_path, index):
    done = run_imagecap("set", "--rewrite", "--format=docker-archive", index[0], tmp_path / "new", GRANT)
    assert "2 images, and Docker loads one of them; choose it with --platform" in done.stderr
    set_capabilities("--rewrite", "--platform=linux/arm64", "--format=docker-archive", index[0], tmp_path / "new", GRANT)
    (item,) = json.loads(list_members(tmp_path / "new")["manifest.json"])
    assert json.loads(list_members(tmp_path / "new")[item["Config"]])["architecture"] == "arm64"


def test_an_index_that_many_indexes_name_is_changed_once(tmp_path):
    layout = Layout(tmp_path / "image")
    entries = [layout.put_image(LOWER)]
    for depth in range(4):
        entries = [
            layout.put(
                {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, "annotations": {"n": f"{depth} {number}"}}, INDEX
            )
            for number in range(30)
        ]
    image = layout.write_index(*entries)
    set_capabilities("--rewrite", image, tmp_path / "new", GRANT)
    assert "/usr/bin/nginx" in read_capabilities(tmp_path / "new")
    names = [{path.name for path in (path / "blobs/sha256").iterdir()} for path in (image, tmp_path / "new")]
    assert len(names[0]) == len(names[1])
    assert names[0].isdisjoint(names[1])  # Every index, the manifest, the config and the layer have changed.
