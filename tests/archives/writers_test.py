"""One image that different tools write is read in the same way, by getcap and as a base."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from rules_setcap import capabilities
from rules_setcap.archive.budget import ReadBudget
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import image_documents, image_reader, layer_blobs, layer_merge
from support import archives, engines, layout, packer, podman, registry, require, saved
from support.image import layout as make_layout
from support.image import tar

NET = capabilities.from_text("cap_net_bind_service=p")
BELOW = tar(("/app", None, "directory"), ("/app/server", NET, "file"), ("/app/removed", NET, "file"))
ABOVE = tar(
    ("/app/.wh.removed", None, "file"),
    ("/link", None, ">app"),
    ("/usr/bin/ping", capabilities.from_text("cap_net_raw=ep"), "file"),
)
EXPECTED = {"/app/server": "cap_net_bind_service=p", "/usr/bin/ping": "cap_net_raw=ep"}
IMAGE = archives.image(BELOW, ABOVE, tar(("/empty", None, "directory")))


def _check_image(path: pathlib.Path, directory: pathlib.Path) -> None:
    """Checks that getcap and an action read IMAGE at a path.

    Args:
      path: a file or a directory.
      directory: for temporary files.
    """
    non_images: list[image_documents.NonImage] = []
    (image,) = image_reader.read_images(str(path), non_images=non_images)
    assert {name: assigned.to_text() for name, assigned in image.capabilities.items()} == EXPECTED
    assert (image.platform, image.config["config"]["User"], image.problems, non_images) == ("linux/amd64", "65532", [], [])
    assert len(image.layers) == 3
    with tempfile.TemporaryDirectory(dir=directory) as made:
        unpacked = os.path.join(made, "layout")
        assert packer.run_here(["unpack", "--target=//x", f"--output={unpacked}", f"--archive={path}"]) == (0, "")
        nodes = dict(layer_merge.merge_layers(layer_blobs.list_layout_layers(unpacked, "linux/amd64"), ReadBudget()).walk())
        assigned_below = {
            name: capabilities.from_xattr(node.xattrs[b"security.capability"]).to_text()
            for name, node in nodes.items()
            if node.xattrs
        }
        assert assigned_below == EXPECTED


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The image as an OCI layout."""
    return make_layout(tmp_path_factory.mktemp("source") / "layout", *IMAGE.layers, User="65532")


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", archives.WRITERS)
def test_an_archive_of_each_writer_is_read(tmp_path: pathlib.Path, name: str, compress):
    path = archives.write_archive(tmp_path / "archive", archives.WRITERS[name](IMAGE))
    path.write_bytes(compress(path.read_bytes()))
    _check_image(path, tmp_path)


def test_a_layer_can_be_a_link_to_another(tmp_path: pathlib.Path):
    """Docker 1.10 to 24 write a link for a layer that is there twice."""
    members = archives.docker_1_10(archives.image(BELOW, ABOVE, BELOW))
    assert sum(isinstance(content, str) for content in members.values()) == 1
    (image,) = image_reader.read_images(str(archives.write_archive(tmp_path / "archive", members)))
    assert sorted(image.capabilities) == ["/app/removed", "/app/server", "/usr/bin/ping"]
    assert image.layers[0] == image.layers[2]


def test_images_that_skopeo_writes_are_read(tmp_path: pathlib.Path, source: pathlib.Path):
    for kind in ("docker-archive", "oci-archive", "oci"):
        name = layout.copy_tagged(source, tmp_path / f"{kind}-source")
        command = [require.tool("skopeo"), f"--tmpdir={tmp_path}", "--insecure-policy", "copy", "--quiet"]
        subprocess.run([*command, f"oci:{name}", f"{kind}:{tmp_path}/{kind}:app:1"], check=True)
        _check_image(tmp_path / kind, tmp_path)


def test_a_dir_of_skopeo_is_refused(tmp_path: pathlib.Path, source: pathlib.Path):
    """The message says which command converts it."""
    name = layout.copy_tagged(source, tmp_path / "source")
    subprocess.run(
        [require.tool("skopeo"), "--insecure-policy", "copy", "--quiet", f"oci:{name}", f"dir:{tmp_path}/dir"], check=True
    )
    with pytest.raises(InputError, match=r"copy it with skopeo copy dir:\.\.\. oci:"):
        image_reader.read_images(str(tmp_path / "dir"))


def test_images_that_crane_writes_are_read(tmp_path: pathlib.Path, source: pathlib.Path):
    with registry.serve(tmp_path) as server:
        name = f"{server.host}/app:1"
        subprocess.run([require.tool("crane"), "push", source, name], check=True, capture_output=True)
        for kind in ("tarball", "legacy", "oci"):
            subprocess.run(
                [require.tool("crane"), "pull", f"--format={kind}", name, tmp_path / kind], check=True, capture_output=True
            )
            _check_image(tmp_path / kind, tmp_path)


def test_images_that_podman_writes_are_read(tmp_path: pathlib.Path, source: pathlib.Path):
    (tmp_path / "state").mkdir()
    program = podman.write_program(tmp_path / "state")
    podman.run(program, "pull", "--quiet", "oci:" + layout.copy_tagged(source, tmp_path / "source"))
    image = podman.run(program, "images", "--quiet")
    for kind in ("docker-archive", "oci-archive", "oci-dir"):
        podman.run(program, "save", "--quiet", f"--format={kind}", f"--output={tmp_path}/{kind}", image)
        _check_image(tmp_path / kind, tmp_path)
    podman.run(program, "save", "--quiet", "--format=docker-dir", f"--output={tmp_path}/docker-dir", image)
    with pytest.raises(InputError, match="copy it with skopeo copy dir:"):
        image_reader.read_images(str(tmp_path / "docker-dir"))


@contextlib.contextmanager
def _make_state_directory() -> Iterator[pathlib.Path]:
    """Creates a directory with a short path, because the path of a daemon's socket is limited."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as state:
        yield pathlib.Path(state)


def test_archives_that_docker_writes_are_read(tmp_path: pathlib.Path, source: pathlib.Path):
    with _make_state_directory() as state, engines.dockerd("vfs", state) as socket:

        def docker(*arguments: object) -> str:
            command = [require.tool("docker"), "--host", f"unix://{socket}", *map(str, arguments)]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

        docker("load", "--input", saved.write_archive({engines.REFERENCE: source}, tmp_path / "image.tar"))
        docker("tag", "test:1", "test:2")
        identifier = docker("image", "inspect", "--format={{.Id}}", "test:1")
        docker("save", "--output", tmp_path / "name", "test:1")
        docker("save", "--output", tmp_path / "two-names", "test:1", "test:2")
        docker("save", "--output", tmp_path / "id", identifier)
        # An archive with two images.
        other = make_layout(tmp_path / "other", tar(("/other", NET, "file")))
        docker("rmi", "test:1", "test:2")
        docker("load", "--input", saved.write_archive({engines.REFERENCE: source}, tmp_path / "image.tar"))
        docker("tag", "test:1", "first:1")
        docker("load", "--input", saved.write_archive({engines.REFERENCE: other}, tmp_path / "other.tar"))
        docker("save", "--output", tmp_path / "several", "first:1", "test:1")
    for name in ("name", "two-names", "id"):
        _check_image(tmp_path / name, tmp_path)
    assert sorted(sorted(image.capabilities) for image in image_reader.read_images(str(tmp_path / "several"))) == [
        sorted(EXPECTED),
        ["/other"],
    ]


def test_archives_that_containerd_writes_are_read(tmp_path: pathlib.Path, source: pathlib.Path):
    with _make_state_directory() as state, engines.containerd(state) as socket:

        def ctr(*arguments: object) -> None:
            subprocess.run(
                [require.tool("ctr"), "--address", socket, "images", *map(str, arguments)], check=True, capture_output=True
            )

        ctr("import", "--no-unpack", saved.write_archive({engines.REFERENCE: source}, tmp_path / "image.tar"))
        ctr("export", tmp_path / "both", "docker.io/library/test:1")
        ctr("export", "--skip-manifest-json", tmp_path / "oci", "docker.io/library/test:1")
        docker = archives.write_archive(tmp_path / "docker.tar", archives.crane(IMAGE))
        ctr("import", "--no-unpack", docker)
        ctr("export", tmp_path / "again", "docker.io/library/app:1")
    for name in ("both", "oci", "again"):
        _check_image(tmp_path / name, tmp_path)


def test_layouts_that_umoci_writes_are_read(tmp_path: pathlib.Path, source: pathlib.Path):
    name = layout.copy_tagged(source, tmp_path / "layout")
    subprocess.run([require.tool("umoci"), "config", "--image", name, "--config.label=a=b"], check=True)
    subprocess.run([require.tool("umoci"), "gc", "--layout", tmp_path / "layout"], check=True)
    _check_image(tmp_path / "layout", tmp_path)


def test_a_docker_archive_can_have_several_images(tmp_path: pathlib.Path):
    """For a base, the platform selects one."""
    arm = archives.image(tar(("/arm", NET, "file")), architecture="arm64")
    members = archives.nix(IMAGE)
    others = archives.nix(arm)
    both = json.loads(members["manifest.json"]) + json.loads(others["manifest.json"])
    path = archives.write_archive(tmp_path / "archive", {**others, **members, "manifest.json": json.dumps(both).encode()})
    assert [(image.platform, sorted(image.capabilities)) for image in image_reader.read_images(str(path))] == [
        ("linux/amd64", sorted(EXPECTED)),
        ("linux/arm64", ["/arm"]),
    ]
    assert packer.run_here(["unpack", "--target=//x", f"--output={tmp_path}/layout", f"--archive={path}"]) == (0, "")
    for platform, count in (("linux/amd64", 3), ("linux/arm64", 1)):
        assert len(layer_blobs.list_layout_layers(str(tmp_path / "layout"), platform)) == count
