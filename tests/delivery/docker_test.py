"""image_load streams an archive to `docker load` that has the right names, and from an index the right image.

A script records the stream; skopeo reads its manifest.json, as the classic image store does.
"""

from __future__ import annotations

import json
import pathlib
import shlex
import shutil
import subprocess
import tarfile
from typing import Any

import pytest

from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import archive_export, descriptors, media_types
from support import layout as layouts
from support import require

HERE = pathlib.Path("tests/delivery").absolute()
NO_STORE = "[[Backing Filesystem extfs]]"
CONTAINERD_STORE = "[[driver-type io.containerd.snapshotter.v1]]"


def _load(
    directory: pathlib.Path,
    target: str,
    *flags: str,
    client: str = "docker",
    platform: str = "linux/amd64",
    store: str = NO_STORE,
) -> subprocess.CompletedProcess[str]:
    """Runs a target with a client whose `load` writes its input to the file "stream".

    Args:
      directory: the working directory.
      target: the target of this package.
      *flags: flags of the target.
      client: the name of the client.
      platform: the platform that the engine prints; "" if the engine does not run.
      store: the image store that the engine prints.
    """
    script = f"""#!/bin/sh
case "$*" in
  load) exec {require.tool("cat")} >{shlex.quote(str(directory / "stream"))} ;;
  "version --format {{{{.Server.Os}}}}/{{{{.Server.Arch}}}}") echo {shlex.quote(platform or "/")}; exit {int(not platform)} ;;
  "info --format {{{{.DriverStatus}}}}") echo {shlex.quote(store)} ;;
  *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""
    (directory / client).write_text(script)
    (directory / client).chmod(0o755)
    environment = {"PATH": str(directory), "HOME": str(directory)}
    return subprocess.run([str(HERE / target), *flags], env=environment, capture_output=True, text=True, timeout=60)


def _read_json(archive: pathlib.Path, name: str) -> Any:
    with tarfile.open(archive) as opened:
        file = opened.extractfile(name)
        assert file
        return json.load(file)


def _list_files(archive: pathlib.Path) -> set[str]:
    with tarfile.open(archive) as opened:
        return {entry.name for entry in opened if "/" not in entry.name and entry.isfile()}


def _read_architecture(archive: pathlib.Path, name: str, directory: pathlib.Path) -> str:
    """Returns the architecture of the image in a manifest.json."""
    source, target = f"docker-archive:{archive}:{name}", directory / "unpacked"
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(
        [require.tool("skopeo"), "--tmpdir", str(directory), "copy", "--quiet", source, f"oci:{target}:test"], check=True
    )
    return layouts.config(target)["architecture"]


@pytest.mark.parametrize("client", ["docker", "nerdctl"])
@pytest.mark.parametrize(
    "tag, printed, full",
    [
        ("app", "app:latest", "docker.io/library/app:latest"),
        ("team/app:dev", "team/app:dev", "docker.io/team/app:dev"),
        ("localhost/app:dev", "localhost/app:dev", "localhost/app:dev"),
        ("registry.example.test:5000/app:dev", "registry.example.test:5000/app:dev", "registry.example.test:5000/app:dev"),
    ],
)
def test_names(tmp_path, client, tag, printed, full):
    done = _load(tmp_path, "load", "--tag", tag, client=client)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed + "\n", "")
    (image,) = _read_json(tmp_path / "stream", "manifest.json")
    assert image["RepoTags"] == [printed]
    (descriptor,) = _read_json(tmp_path / "stream", "index.json")["manifests"]
    assert descriptor["annotations"] == {
        "io.containerd.image.name": full,
        "org.opencontainers.image.ref.name": tag.partition(":")[2].rpartition(":")[2] or "latest",
    }


@pytest.mark.parametrize("target", ["load", "load_index"])
def test_the_stream_is_the_archive_of_the_output_group(tmp_path, target):
    assert _load(tmp_path, target).returncode == 0
    assert (tmp_path / "stream").read_bytes() == (HERE / f"{target}.tar").read_bytes()


@pytest.mark.parametrize("platform, architecture", [("linux/amd64", "amd64"), ("linux/arm64", "arm64"), ("linux/arm", "arm")])
def test_the_image_for_the_platform_of_the_engine_is_chosen(tmp_path, platform, architecture):
    """The archive has the index too, for containerd and podman."""
    done = _load(tmp_path, "load_index", platform=platform)
    assert (done.returncode, done.stdout, done.stderr) == (0, "probe:index\n", "")
    assert _read_architecture(tmp_path / "stream", "probe:index", tmp_path) == architecture
    (descriptor,) = _read_json(tmp_path / "stream", "index.json")["manifests"]
    assert descriptor["mediaType"] == media_types.INDEX


def test_an_index_without_the_platform_of_the_engine_is_an_error(tmp_path):
    done = _load(tmp_path, "load_arm")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        '//tests/delivery:load_arm: image: "//tests/index:arm": has no image for linux/amd64, the platform of docker; '
        "it has linux/arm/v7, linux/arm64/v8; add one to the index, load one of its images, "
        "or configure Docker to use the containerd image store\n"
    )
    assert not (tmp_path / "stream").exists()


@pytest.mark.parametrize("engine", [{"store": CONTAINERD_STORE}, {"platform": ""}])
def test_no_image_is_chosen_for_some_engines(tmp_path, engine):
    """The containerd image store loads any platform, and an engine that does not run prints that itself."""
    assert _load(tmp_path, "load_arm", **engine).returncode == 0
    assert _list_files(tmp_path / "stream") == {"index.json", "oci-layout"}


def test_an_archive_of_an_index_without_the_target_platform_has_no_docker_manifest():
    assert _list_files(HERE / "load_arm.tar") == {"index.json", "oci-layout"}


def _write_layout(directory: pathlib.Path, *variants: str, missing: bool = False) -> str:
    """Writes the layout of an index of images for linux/arm.

    Args:
      directory: the directory in which the layout is written.
      *variants: the variants of the images; "" for an image without a variant.
      missing: whether to leave out the image for the first variant.

    Returns:
      The path of the layout.
    """
    layout = directory / "layout"
    (layout / "blobs/sha256").mkdir(parents=True)

    def write(media_type: str, value: Any, keep: bool = True) -> dict[str, Any]:
        data = json.dumps(value).encode()
        descriptor = descriptors.describe_blob(media_type, data)
        if keep:
            (layout / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")).write_bytes(data)
        return descriptor

    manifests = []
    for variant in variants:
        platform = {"os": "linux", "architecture": "arm", **({"variant": variant} if variant else {})}
        config = write(media_types.CONFIG, {**platform, "rootfs": {"type": "layers", "diff_ids": []}})
        manifest = {"schemaVersion": 2, "mediaType": media_types.MANIFEST, "config": config, "layers": []}
        manifests.append(
            {**write(media_types.MANIFEST, manifest, keep=not missing or variant != variants[0]), "platform": platform}
        )
    index = write(media_types.INDEX, {"schemaVersion": 2, "mediaType": media_types.INDEX, "manifests": manifests})
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [index]}))
    return str(layout)


@pytest.mark.parametrize(
    "variants, chosen",
    [(("v7", "v6"), "v6"), (("", "v6"), "v6"), (("v8", ""), None), (("v7",), "v7"), (("v5", "v6", "v7"), "v5")],
)
def test_the_lowest_variant_is_chosen(tmp_path, variants, chosen):
    layout = _write_layout(tmp_path, *variants)
    manifest = archive_export.find_single_manifest(layout, "linux/arm")
    assert manifest
    config = json.loads(layouts.blob(pathlib.Path(layout), manifest["config"]))
    assert config.get("variant") == chosen
    assert archive_export.find_single_manifest(layout, "linux/arm64") is archive_export.find_single_manifest(layout, "") is None


def test_an_index_may_name_images_that_the_layout_lacks(tmp_path):
    """`docker save` writes such layouts with the containerd image store."""
    layout = _write_layout(tmp_path, "v6", "v7", missing=True)
    assert archive_export.list_platforms(layout) == ["linux/arm/v7"]
    assert archive_export.find_single_manifest(layout, "linux/arm")


def test_an_invalid_image_is_an_error(tmp_path):
    layout = _write_layout(tmp_path, "v7")
    for blob in pathlib.Path(layout, "blobs/sha256").iterdir():
        if b"rootfs" in blob.read_bytes():
            blob.write_bytes(b"{}")
    with pytest.raises(InputError) as error:
        archive_export.find_single_manifest(layout, "linux/arm")
    assert all(problem.startswith(f'image: "{layout}": blobs/sha256/') for problem in error.value.problems)
