"""Signatures and other artifacts beside an image are skipped; a manifest that cannot be read is refused."""

from __future__ import annotations

import gzip
import json
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from rules_setcap import capabilities
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import image_documents, image_reader
from support import archives
from support.archives import CONFIG, LAYER, MANIFEST, PLATFORM, Layout, config
from support.image import tar

NET = capabilities.from_text("cap_net_bind_service=p")
TAR = tar(("/a", NET, "file"))
IN_TOTO = "application/vnd.in-toto+json"
SIGNATURE = "application/vnd.dev.cosign.simplesigning.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
UNKNOWN = {"os": "unknown", "architecture": "unknown"}


def _signature(made: Layout) -> dict[str, Any]:
    """Adds a signature as cosign does: the config of an image, and one layer that is JSON; returns its descriptor."""
    return made.manifest({"architecture": "", "os": "", "config": {}, "rootfs": config(b"{}")["rootfs"]}, [(b"{}", SIGNATURE)])


def _attestation(made: Layout) -> dict[str, Any]:
    """Adds an attestation as BuildKit does: the config of an image for the platform unknown/unknown, and layers that are JSON."""
    annotations = {"vnd.docker.reference.type": "attestation-manifest"}
    return {**made.manifest(config(b"{}", **UNKNOWN), [(b"{}", IN_TOTO)]), "platform": UNKNOWN, "annotations": annotations}


def _sbom(made: Layout) -> dict[str, Any]:
    """Adds an SBOM as `cosign attach sbom` and `oras attach` do."""
    subject = archives.descriptor(MANIFEST, b"gone")
    return made.manifest({}, [(b"{}", "text/spdx+json")], EMPTY, artifactType="application/spdx+json", subject=subject)


def _chart(made: Layout) -> dict[str, Any]:
    """Adds a chart as Helm does: its layer is a tar, but has another media type."""
    layers = [(gzip.compress(TAR, mtime=0), "application/vnd.cncf.helm.chart.content.v1.tar+gzip")]
    return made.manifest({"name": "chart", "version": "1"}, layers, "application/vnd.cncf.helm.config.v1+json")


def _oras(made: Layout) -> dict[str, Any]:
    """Adds a file as `oras push` does, with the media type of a layer."""
    return made.manifest({}, [(b"a file", LAYER)], EMPTY, artifactType="application/vnd.unknown.artifact.v1")


def _referrer(made: Layout) -> dict[str, Any]:
    """Adds an artifact whose config and layer are the empty descriptor, with its data."""
    described = {**archives.descriptor(EMPTY, b"{}"), "data": "e30="}
    made.put(b"{}", EMPTY)
    value = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/x",
        "config": described,
        "layers": [described],
    }
    return made.put(value, MANIFEST, artifactType="application/x")


def _wasm(made: Layout) -> dict[str, Any]:
    """Adds a WebAssembly module with a config of its own media type."""
    return made.manifest(
        {"os": "wasip1", "architecture": "wasm"}, [(b"\0asm", "application/wasm")], "application/vnd.wasm.config.v0+json"
    )


def _artifact_manifest(made: Layout) -> dict[str, Any]:
    """Adds an artifact manifest, which OCI image-spec 1.1 removed."""
    media_type = "application/vnd.oci.artifact.manifest.v1+json"
    return made.put({"mediaType": media_type, "artifactType": "x", "blobs": []}, media_type)


ARTIFACTS: dict[str, Callable[[Layout], dict[str, Any]]] = {
    "signature": _signature,
    "attestation": _attestation,
    "SBOM": _sbom,
    "chart": _chart,
    "oras": _oras,
    "referrer": _referrer,
    "wasm": _wasm,
    "artifact manifest": _artifact_manifest,
    "a blob": lambda made: made.put(b"text", "text/plain"),
}


@pytest.mark.parametrize("nested", [False, True], ids=["in index.json", "in an index"])
@pytest.mark.parametrize("name", ARTIFACTS)
def test_an_artifact_is_skipped(tmp_path: pathlib.Path, name: str, nested: bool):
    made = Layout(tmp_path / "layout")
    entries = [
        ARTIFACTS[name](made),
        {**made.image(TAR), "platform": PLATFORM},
        made.image(tar(("/b", NET, "file")), architecture="arm64"),
    ]
    path = made.index(*([made.put({"schemaVersion": 2, "manifests": entries}, INDEX)] if nested else entries))
    non_images: list[image_documents.NonImage] = []
    assert [sorted(image.capabilities) for image in image_reader.read_images(str(path), non_images=non_images)] == [
        ["/a"],
        ["/b"],
    ]
    ((digest, description),) = non_images
    assert digest == entries[0]["digest"] and description.endswith("not an image")
    assert [sorted(image.capabilities) for image in image_reader.read_images(str(path), "linux/arm64")] == [["/b"]]
    for architecture in ("amd64", "arm64"):
        chosen = image_documents.read_layout_image(str(path), {**PLATFORM, "architecture": architecture, "variant": ""})
        assert chosen.config["architecture"] == architecture


@pytest.mark.parametrize("name", ARTIFACTS)
def test_an_artifact_alone_is_not_an_image(tmp_path: pathlib.Path, name: str):
    made = Layout(tmp_path / "layout")
    entry = ARTIFACTS[name](made)
    with pytest.raises(InputError) as refused:
        image_reader.read_images(str(made.index(entry)))
    assert f"no image in it; {entry['digest']} is " in str(refused.value)
    with pytest.raises(InputError, match="has no image for linux/amd64; sha256:"):
        image_documents.read_layout_image(str(made.path), {**PLATFORM, "variant": ""})


@pytest.mark.parametrize("name", ARTIFACTS)
def test_an_image_beside_an_artifact_is_the_only_image(tmp_path: pathlib.Path, name: str):
    """It is the image that is pushed, and that a digest_test compares."""
    made = Layout(tmp_path / "layout")
    image = made.image(TAR)
    made.index(ARTIFACTS[name](made), image)
    assert image_documents.find_only_descriptor(str(made.path)) == image


def test_a_skipped_artifact_is_printed(tmp_path: pathlib.Path):
    made = Layout(tmp_path / "layout")
    signature = _signature(made)
    made.index(made.image(TAR), signature)
    done = subprocess.run(["tools/getcap/getcap", made.path], capture_output=True, text=True)
    why = f'an artifact with layers of media type "{SIGNATURE}", not an image'
    note = f"getcap: note: {made.path}: passed over {signature['digest']}: {why}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "/a cap_net_bind_service=p\n", note)
    done = subprocess.run(["tools/getcap/getcap", "--json", made.path], capture_output=True, text=True)
    assert json.loads(done.stdout)["passed_over"] == [{"path": str(made.path), "digest": signature["digest"], "why": why}]


def _put_schema_1(made: Layout, media_type: str) -> dict[str, Any]:
    """Adds a Docker manifest of schema 1; returns its descriptor."""
    return made.put({"schemaVersion": 1, "fsLayers": [{"blobSum": archives.digest(TAR)}], "history": []}, media_type)


def _change_descriptor(made: Layout, **changes: Any) -> dict[str, Any]:
    """Adds an image; returns its descriptor with changes."""
    return {**made.image(TAR), **changes}


REFUSED: dict[str, tuple[Callable[[Layout], list[dict[str, Any]]], str]] = {
    "schema 1": (
        lambda made: [_put_schema_1(made, "application/vnd.docker.distribution.manifest.v1+prettyjws")],
        "a Docker manifest of schema 1, which is not read",
    ),
    "schema 1 by another name": (lambda made: [_put_schema_1(made, "application/json")], "a Docker manifest of schema 1"),
    "schema 1 as an image": (lambda made: [_put_schema_1(made, MANIFEST)], "its manifest is a Docker manifest of schema 1"),
    "a manifest of another type": (
        lambda made: [_change_descriptor(made, mediaType="application/x")],
        'a manifest of media type "application/x"',
    ),
    "sha512": (
        lambda made: [_change_descriptor(made, digest="sha512:" + "0" * 128)],
        "is not a digest by sha256, the only algorithm that is read",
    ),
    "a size that lies": (lambda made: [_change_descriptor(made, size=7)], "and should have sha256:"),
    "a size that is not a number": (lambda made: [_change_descriptor(made, size=True)], "is not a valid descriptor"),
    "other data": (lambda made: [_change_descriptor(made, data="e30=")], "its descriptor has data of another digest or size"),
    "data that is not base64": (lambda made: [_change_descriptor(made, data="{}")], "its descriptor has data that is not base64"),
    "an index called a manifest": (
        lambda made: [made.put({"schemaVersion": 2, "manifests": [made.image(TAR)]}, MANIFEST)],
        "its manifest says that it is an index as well",
    ),
    "a manifest called an index": (
        lambda made: [_change_descriptor(made, mediaType=INDEX)],
        "its index says that it is a manifest as well",
    ),
    "an erofs layer": (
        lambda made: [made.manifest(config(b"x"), [(b"x", "application/vnd.erofs.layer.v1")])],
        "layer of unknown media type",
    ),
    "an encrypted layer": (
        lambda made: [made.manifest(config(b"x"), [(b"x", LAYER + "+encrypted")])],
        "is encrypted; decrypt the image first",
    ),
    "a layer that is elsewhere": (
        lambda made: [_put_without_layer(made, urls=["https://registry.example/layer"])],
        "the layer is at the URLs of its descriptor, and must be in the layout to be read",
    ),
    "no platform, and two images for it": (
        lambda made: [made.image(TAR), made.image(tar(("/b", None, "file")))],
        "has 2 images for linux/amd64",
    ),
    "more layers than diff_ids": (
        lambda made: [made.manifest(config(TAR), [(TAR, LAYER), (TAR, LAYER)])],
        "its manifest has 2 layers, its config 1",
    ),
}


def _put_without_layer(made: Layout, **more: Any) -> dict[str, Any]:
    """Adds an image whose layer is not in the layout; returns its descriptor."""
    layer = archives.descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar", TAR, **more)
    return made.put({"schemaVersion": 2, "config": made.put(config(TAR), CONFIG), "layers": [layer]}, MANIFEST)


@pytest.mark.parametrize("name", REFUSED)
def test_an_entry_that_cannot_be_read_is_refused(tmp_path: pathlib.Path, name: str):
    make, expected = REFUSED[name]
    made = Layout(tmp_path / "layout")
    made.index(*make(made))
    if "two images" in name:  # getcap prints both; a base must be one image.
        assert len(image_reader.read_images(str(made.path))) == 2
        with pytest.raises(InputError, match=expected):
            image_documents.read_layout_image(str(made.path), {**PLATFORM, "variant": ""})
        return
    with pytest.raises(InputError) as refused:
        image_reader.read_images(str(made.path))
    (text,) = refused.value.problems
    assert text.startswith(f'image: "{made.path}": ') and expected in text


def test_an_image_can_be_for_two_platforms(tmp_path: pathlib.Path):
    """An index has one manifest for two platforms."""
    made = Layout(tmp_path / "layout")
    image = made.image(TAR)
    made.index(*({**image, "platform": {**PLATFORM, "architecture": architecture}} for architecture in ("386", "amd64")))
    for architecture in ("386", "amd64"):
        assert image_documents.read_layout_image(
            str(made.path), {**PLATFORM, "architecture": architecture, "variant": ""}
        ).manifest["layers"]
    assert len(image_reader.read_images(str(made.path))) == 1


def test_an_image_can_have_no_layers(tmp_path: pathlib.Path):
    made = Layout(tmp_path / "layout")
    made.index(made.manifest(config(), []))
    (image,) = image_reader.read_images(str(made.path))
    assert (image.capabilities, image.layers) == ({}, [])
    # Go writes an empty list as null.
    null_config = {**config(), "rootfs": {"type": "layers", "diff_ids": None}}
    made.index(made.put({"schemaVersion": 2, "config": made.put(null_config, CONFIG), "layers": None}, MANIFEST))
    (image,) = image_reader.read_images(str(made.path))
    assert (image.capabilities, image.layers) == ({}, [])
