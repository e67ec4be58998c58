"""A base that is an archive is unpacked to an OCI image layout."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import random
import shutil
import subprocess
import tarfile

import pytest
from bases import copy_files, umoci_layout, unpack_image  # noqa: F401 (umoci_layout is a fixture)

from support import layout as layouts
from support import packer, require

ARCHIVES: dict[str, list[str]] = {
    "oci-archive": [],
    "docker-archive": [],
    "docker-archive gzip": ["gzip"],
    "oci-archive xz": ["xz"],
}


@pytest.fixture(scope="module")
def archives(umoci_layout, tmp_path_factory) -> dict[str, pathlib.Path]:
    """The archives of the base, which skopeo writes, by kind and compression."""
    directory = tmp_path_factory.mktemp("archives")
    paths = {}
    for name, compress in ARCHIVES.items():
        kind = name.split()[0]
        path = directory / name.replace(" ", "-")
        command = [
            require.tool("skopeo"),
            "copy",
            "--insecure-policy",
            "--quiet",
            f"oci:{umoci_layout}:base",
            f"{kind}:{path}:test:1",
        ]
        subprocess.run(command, check=True, env={**os.environ, "TMPDIR": str(directory)})
        for program in compress:
            subprocess.run([require.tool(program), "-k", path], check=True)
            path = path.with_name(path.name + {"gzip": ".gz", "xz": ".xz"}[program])
        paths[name] = path
    return paths


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_unpacked_to_a_layout(name, archives, umoci_layout, tmp_path):
    assert unpack_image(tmp_path, archives[name]) == (0, "")
    (manifest,) = json.loads((tmp_path / "layout/index.json").read_bytes())["manifests"]
    assert layouts.config(tmp_path / "layout")["rootfs"] == layouts.config(umoci_layout)["rootfs"]
    # skopeo reads the layout without an error.
    inspected = subprocess.run(
        [require.tool("skopeo"), "inspect", "--raw", f"oci:{tmp_path}/layout"], check=True, capture_output=True
    ).stdout
    assert "sha256:" + hashlib.sha256(inspected).hexdigest() == manifest["digest"]
    assert copy_files(tmp_path, tmp_path / "layout", packer.assign("/sbin/ping", "kill")) == (0, "")


@pytest.mark.parametrize("place", ["content", "padding"])
def test_a_docker_archive_with_a_changed_layer_is_refused(archives, tmp_path, place):
    """The diff_ids in the config are the only digests in an archive that `docker save` writes."""
    with tarfile.open(archives["docker-archive"]) as archive, tarfile.open(tmp_path / "changed", "w") as changed:
        for entry in archive:
            data = archive.extractfile(entry).read() if entry.isreg() else b""
            if entry.isreg() and entry.name.endswith(".tar"):
                position = 600 if place == "content" else len(data) - 1
                data = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
            changed.addfile(entry, io.BytesIO(data))
    done = unpack_image(tmp_path, tmp_path / "changed")
    assert done.status == 1 and "a layer with digest sha256:" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "layout").exists()


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_an_archive_with_two_files_of_one_path_is_refused(archives, tmp_path, kind):
    """The bytes of the two differ, and readers differ in which of them they use."""
    with tarfile.open(archives[kind]) as archive, tarfile.open(tmp_path / "twice", "w") as made:
        members = [(entry, archive.extractfile(entry).read() if entry.isreg() else b"") for entry in archive]
        name = "index.json" if kind == "oci-archive" else "manifest.json"
        for entry, data in [*members, *((entry, data + b" ") for entry, data in members if entry.name == name)]:
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    done = unpack_image(tmp_path, tmp_path / "twice")
    assert done.status == 1 and f'has "/{name}" twice' in done.stderr
    assert not (tmp_path / "layout").exists()


def test_an_archive_whose_links_lead_in_circles_is_refused(archives, tmp_path):
    with tarfile.open(archives["docker-archive"]) as archive, tarfile.open(tmp_path / "round", "w") as made:
        for entry in archive:
            if entry.name.endswith(".tar"):
                entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, entry.name, 0
            made.addfile(entry, io.BytesIO(archive.extractfile(entry).read()) if entry.isreg() else None)
    done = unpack_image(tmp_path, tmp_path / "round")
    assert done.status == 1 and "links that go round at " in done.stderr
    assert not (tmp_path / "layout").exists()


def test_a_damaged_archive_is_refused_with_one_problem(archives, tmp_path):
    chance = random.Random(4)
    tried = refused = 0
    for path in archives.values():
        data = path.read_bytes()
        for _ in range(60):
            damaged = bytearray(data)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            if chance.random() < 0.3:
                del damaged[chance.randrange(len(damaged)) :]
            (tmp_path / "archive").write_bytes(damaged)
            status, output = packer.run_here(
                ["unpack", "--target=//x", f"--output={tmp_path}/layout", f"--archive={tmp_path}/archive"]
            )
            tried += 1
            if status:
                refused += 1
                assert status == 1 and output.startswith("//x: base: ") and len(output) < 1000, output
                assert not (tmp_path / "layout").exists()
            else:
                shutil.rmtree(tmp_path / "layout")
    print(f"{tried} damaged archives, {refused} refused")
    assert refused > tried // 2


def test_a_file_that_is_not_an_image_is_refused(tmp_path):
    for content, message in (
        (b"no", "ends within a header"),
        (b"", "end-of-archive marker"),
        (
            bytes(10240),
            "neither index.json nor manifest.json; give an OCI layout directory, an OCI archive, or an archive as docker save writes it; "
            "to add the files of a tar to an image, write setcap(name = ..., tar = ...) and give that to layers",
        ),
    ):
        (tmp_path / "file").write_bytes(content)
        done = unpack_image(tmp_path, tmp_path / "file")
        assert done.status == 1 and message in done.stderr and done.stderr.count("\n") == 1
        assert not (tmp_path / "layout").exists()
