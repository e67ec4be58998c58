"""Image indexes have an image for each platform, and readers select one of them."""

from __future__ import annotations

import gzip
import io
import json
import pathlib
import subprocess
import tarfile
from typing import Any

from support import layout as layouts
from support import require

HERE = pathlib.Path("tests/index")
PLATFORMS = {
    "x86_64": {"architecture": "amd64", "os": "linux"},
    "aarch64": {"architecture": "arm64", "os": "linux", "variant": "v8"},
    "armv7": {"architecture": "arm", "os": "linux", "variant": "v7"},
}


def _read_index(layout: pathlib.Path) -> dict[str, Any]:
    """Returns the only index of a layout."""
    (descriptor,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    assert descriptor["mediaType"] == "application/vnd.oci.image.index.v1+json"
    return json.loads(layouts.blob(layout, descriptor))


def test_every_platform_has_its_own_image():
    index = _read_index(HERE / "index")
    assert [manifest["platform"] for manifest in index["manifests"]] == list(PLATFORMS.values())
    assert list(index["annotations"]) == ["org.opencontainers.image.licenses", "org.opencontainers.image.title"]
    for cpu, descriptor in zip(PLATFORMS, index["manifests"], strict=True):
        manifest = json.loads(layouts.blob(HERE / "index", descriptor))
        config = json.loads(layouts.blob(HERE / "index", manifest["config"]))
        assert {key: config.get(key) for key in descriptor["platform"]} == PLATFORMS[cpu]
        (layer,) = manifest["layers"]
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layouts.blob(HERE / "index", layer)))) as archive:
            program = archive.extractfile("app/program.elf")
            assert program and program.read() == b"\x7fELF" + cpu.encode()
            assert "SCHILY.xattr.security.capability" in archive.getmember("app/program.elf").pax_headers


def test_every_cpu_of_linux_has_its_platform():
    platforms = {
        name: ["/".join(each["platform"].values()) for each in _read_index(HERE / name)["manifests"]]
        for name in ("of_each_cpu", "of_other_names")
    }
    assert platforms == {
        "of_each_cpu": [
            "arm/linux/v7",
            "arm64/linux/v8",
            "ppc64le/linux",
            "riscv64/linux",
            "s390x/linux",
            "386/linux",
            "amd64/linux",
        ],
        "of_other_names": ["arm/linux/v7", "386/linux", "ppc64le/linux"],
    }


def test_an_index_can_have_given_images():
    platforms = [manifest["platform"]["architecture"] for manifest in _read_index(HERE / "of_images")["manifests"]]
    assert platforms == ["amd64", "s390x"]


def test_a_base_that_is_an_index_is_its_image_for_the_platform():
    above = _read_index(HERE / "index_above")
    below = {manifest["platform"]["architecture"]: manifest for manifest in _read_index(HERE / "index")["manifests"]}
    assert [manifest["platform"]["architecture"] for manifest in above["manifests"]] == ["arm64", "amd64"]
    for descriptor in above["manifests"]:
        manifest = json.loads(layouts.blob(HERE / "index_above", descriptor))
        base = json.loads(layouts.blob(HERE / "index", below[descriptor["platform"]["architecture"]]))
        assert manifest["layers"] == base["layers"]
        layouts.blob(HERE / "index_above", manifest["layers"][0])


def test_skopeo_copies_the_index_with_its_images(tmp_path):
    (tmp_path / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    skopeo = [require.tool("skopeo"), "--policy", str(tmp_path / "policy.json"), "--tmpdir", str(tmp_path)]
    copy = tmp_path / "copy"
    subprocess.run([*skopeo, "copy", "--quiet", "--all", f"oci:{HERE}/index", f"oci:{copy}:test"], check=True)
    assert _read_index(copy) == _read_index(HERE / "index")
    blobs = pathlib.Path("blobs/sha256")
    for blob in (HERE / "index" / blobs).iterdir():
        assert (copy / blobs / blob.name).read_bytes() == blob.read_bytes()


def test_skopeo_selects_an_image_by_platform(tmp_path):
    for platform in PLATFORMS.values():
        flags = [f"--override-os={platform['os']}", f"--override-arch={platform['architecture']}"]
        flags += [f"--override-variant={platform['variant']}"] if "variant" in platform else []
        done = subprocess.run(
            [require.tool("skopeo"), *flags, "inspect", "--config", f"oci:{HERE}/index"],
            check=True,
            capture_output=True,
        )
        assert json.loads(done.stdout)["architecture"] == platform["architecture"]
