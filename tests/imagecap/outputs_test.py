"""`imagecap set` writes its output completely or not at all, and replaces only what it may."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time

import pytest
from layouts import ELF, LAYER, Layout, program_layer, read_blob
from running import run_imagecap, set_capabilities
from samples import GRANT, LOWER, image, read_capabilities, way  # noqa: F401 (image and way are fixtures)

from support import require


def test_an_output_that_exists_is_kept_without_force(tmp_path, image):
    (tmp_path / "file").write_text("kept")
    done = run_imagecap("set", "--rewrite", "--format=oci-archive", image, tmp_path / "file", GRANT)
    assert (done.status, done.stdout) == (2, "")
    assert "exists already; write --force to replace it, or another path" in done.stderr
    assert (tmp_path / "file").read_text() == "kept"


def test_force_replaces_archives_and_layouts_only(tmp_path, image):
    (tmp_path / "file").write_text("replaced")
    set_capabilities("--rewrite", "--force", "--format=oci-archive", image, tmp_path / "file", GRANT)
    assert "/usr/bin/nginx" in read_capabilities(tmp_path / "file")
    set_capabilities("--rewrite", "--force", image, image, GRANT)
    assert "/usr/bin/nginx" in read_capabilities(image)
    assert sorted(os.listdir(tmp_path)) == ["file", "image"]
    (tmp_path / "home").mkdir()
    (tmp_path / "home/diary").write_text("kept")
    for directory in (tmp_path / "home", tmp_path):
        done = run_imagecap("set", "--rewrite", "--force", image, directory, GRANT)
        assert "is not an OCI layout directory, so that --force does not replace it" in done.stderr
    assert (tmp_path / "home/diary").read_text() == "kept"


def test_an_output_that_cannot_be_is_refused_before_anything_is_read(tmp_path, image):
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("target")
    for output, flags, message in [
        ("none/new", [], "its parent directory does not exist; make it first"),
        ("fifo", ["--force"], "is not a regular file; write another path, or - for standard output"),
        ("directory", ["--force", "--format=oci-archive"], "is a directory, and the new image is an archive; write another path"),
    ]:
        done = run_imagecap("set", "--rewrite", *flags, image, tmp_path / output, GRANT)
        assert (done.status, done.stderr) == (2, f'imagecap: output: "{tmp_path / output}": {message}\n')
    # A slash at the end, and a link that leads nowhere yet.
    set_capabilities("--rewrite", image, f"{tmp_path}/new/", GRANT)
    set_capabilities("--rewrite", image, tmp_path / "link", GRANT)
    assert "/usr/bin/nginx" in read_capabilities(tmp_path / "new")
    assert "/usr/bin/nginx" in read_capabilities(tmp_path / "target")


def test_a_layer_is_not_taken_for_an_image(tmp_path):
    (tmp_path / "layer.tar").write_bytes(LOWER)
    done = run_imagecap("set", "--rewrite", tmp_path / "layer.tar", tmp_path / "new.tar", GRANT)
    assert done.stderr.endswith(
        "has neither index.json nor manifest.json; give an OCI layout directory, an OCI archive, or an archive as docker save writes it\n"
    )


def test_an_output_within_the_input_is_refused(tmp_path, image):
    done = run_imagecap("set", "--rewrite", image, image / "blobs/new", GRANT)
    assert "is within the image that is read" in done.stderr


def test_the_output_has_the_permissions_of_new_files(tmp_path, image):
    old = os.umask(0o027)
    try:
        set_capabilities("--rewrite", image, tmp_path / "new", GRANT)
        set_capabilities("--rewrite", "--format=oci-archive", image, tmp_path / "new.tar", GRANT)
    finally:
        os.umask(old)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "new.tar").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_behind(tmp_path, number):
    layout = Layout(tmp_path / "image")
    zeros = program_layer("/usr/bin/nginx", content=ELF + bytes(64 << 20))
    entry = layout.put_image(zeros)
    manifest = read_blob(layout.path, entry["digest"])
    manifest["layers"] = [layout.put(gzip.compress(zeros, 1), f"{LAYER}+gzip")]
    image = layout.write_index(layout.put(manifest, entry["mediaType"], platform=entry["platform"]))
    command = [sys.executable, "-m", "rules_setcap.imagecap", "set", "--rewrite", str(image), str(tmp_path / "new"), GRANT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # When the layer is being written.
        while not list(tmp_path.glob(".new.*.partial/rewritten*")) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(number)
        assert process.wait() == 128 + number
        assert process.stderr.read() == b""
    assert sorted(os.listdir(tmp_path)) == ["image"]


@pytest.mark.parametrize("output", ["new", "new.tar"])
def test_a_full_disk_is_named_and_nothing_is_left(tmp_path, way, output):
    layout = Layout(tmp_path / "image")
    image = layout.write_index(layout.put_image(program_layer("/usr/bin/nginx", content=ELF + os.urandom(1 << 20))))
    (tmp_path / "full").mkdir()
    require.root()
    place = tmp_path / "full" / output
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", tmp_path / "full"], check=True)
    try:
        flags = ["--format=oci-archive"] if output.endswith(".tar") else []
        done = run_imagecap("set", *way, *flags, image, place, GRANT)
        assert done == (2, "", f"imagecap: {place}: No space left on device\n")
        assert os.listdir(tmp_path / "full") == []
    finally:
        subprocess.run(["umount", tmp_path / "full"], check=True)


def test_a_full_standard_output_is_named(tmp_path, image):
    command = [sys.executable, "-m", "rules_setcap.imagecap", "set", "--rewrite", "--format=oci-archive", str(image), "-", GRANT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "imagecap: stdout: No space left on device\n")
