"""`imagecap set` reads and writes each kind of image, compressed or not, and works in a pipe."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import subprocess
import sys

import pytest
from layouts import read_index
from running import set_capabilities
from samples import GRANT, LOWER, UPPER, image, list_members, read_capabilities, way  # noqa: F401 (image and way are fixtures)

from support import archives


@pytest.mark.parametrize("writer", archives.WRITERS)
def test_an_archive_of_each_writer_is_changed_to_one_of_the_same_kind(tmp_path, writer, way):
    made = archives.image(LOWER, UPPER)
    before = archives.write_archive(tmp_path / "before.tar", archives.WRITERS[writer](made))
    set_capabilities(*way, before, tmp_path / "after.tar", GRANT)
    assert read_capabilities(tmp_path / "after.tar")["/usr/bin/nginx"] == "cap_net_bind_service=ep"
    old, new = list_members(before), list_members(tmp_path / "after.tar")
    # The index.json of "docker save ID" is empty, and that of apko is beside no layout.
    has_manifests = "oci-layout" in old and bool(json.loads(old["index.json"]).get("manifests"))
    assert (has_manifests, "manifest.json" in old) == ("index.json" in new, "manifest.json" in new)
    if "manifest.json" in old:
        (old_item,), (new_item,) = (json.loads(members["manifest.json"]) for members in (old, new))
        assert new_item["RepoTags"] == old_item["RepoTags"]
        config = json.loads(new[new_item["Config"]])
        layers = [new[name] for name in new_item["Layers"]]
        unpacked = [gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer for layer in layers]
        assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in unpacked]


COMPRESSIONS = {"gzip": gzip, "xz": lzma, "bzip2": bz2}


@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_a_compressed_archive_stays_compressed(tmp_path, codec):
    module = COMPRESSIONS[codec]
    path = archives.write_archive(tmp_path / "archive", archives.WRITERS["docker 25"](archives.image(LOWER, UPPER)))
    path.write_bytes(module.compress(path.read_bytes()))
    set_capabilities("--rewrite", path, tmp_path / "new", GRANT)
    assert "/usr/bin/nginx" in read_capabilities(tmp_path / "new")
    (tmp_path / "plain").write_bytes(module.decompress((tmp_path / "new").read_bytes()))
    assert "manifest.json" in list_members(tmp_path / "plain")
    # The archive of an archive that is not compressed is the same.
    set_capabilities("--rewrite", "--format=docker-archive", path, tmp_path / "other", GRANT)
    assert (tmp_path / "other").read_bytes() == (tmp_path / "plain").read_bytes()


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
@pytest.mark.parametrize("source", ["layout", "docker 25", "docker 1.10"])
def test_each_kind_can_become_each_other(tmp_path, image, source, kind):
    path = image
    if source != "layout":
        path = archives.write_archive(tmp_path / "archive", archives.WRITERS[source](archives.image(LOWER, UPPER)))
    report = set_capabilities("--rewrite", f"--format={kind}", path, tmp_path / "new", GRANT)
    assert report["format"] == kind
    assert (tmp_path / "new").is_dir() == (kind == "oci")
    assert read_capabilities(tmp_path / "new") == {
        "/usr/bin/nginx": "cap_net_bind_service=ep",
        "/usr/bin/alias": "cap_net_bind_service=ep",
        "/usr/bin/ping": "cap_net_bind_service=ep",
    }
    if kind == "oci-archive":
        assert set(list_members(tmp_path / "new")) >= {"index.json", "oci-layout"}
    if kind == "oci" and source == "docker 1.10":
        assert read_index(tmp_path / "new")[0]["annotations"]["io.containerd.image.name"] == "docker.io/library/app:1"


def test_it_works_in_a_pipe(tmp_path, image):
    archive = archives.write_archive(tmp_path / "in.tar", archives.WRITERS["docker 25"](archives.image(LOWER, UPPER)))
    command = [sys.executable, "-m", "rules_setcap.imagecap", "set", "--rewrite", "-", "-", GRANT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, input=archive.read_bytes(), capture_output=True, env=environment, check=True)
    (tmp_path / "out.tar").write_bytes(done.stdout)
    assert "/usr/bin/nginx" in read_capabilities(tmp_path / "out.tar")
    assert b"/usr/bin/nginx none -> cap_net_bind_service=ep" in done.stderr
    # The same bytes go to a file.
    set_capabilities("--rewrite", archive, tmp_path / "file.tar", GRANT)
    assert (tmp_path / "file.tar").read_bytes() == done.stdout
