"""image_diff compares images in all forms, and reports what cannot be read."""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import random
import sys

import pytest
from diff_runs import ADMIN, BASE, NET, run, write_file  # noqa: F401 (run is a fixture)
from drawn_images import draw_image

from support import archives
from support.image import layout, tar


@pytest.mark.parametrize("one", archives.WRITERS)
@pytest.mark.parametrize("other", ["buildkit", "nix"])
def test_an_image_is_the_same_in_the_archives_of_all_programs(tmp_path, run, one, other):
    image = archives.image(BASE, tar(("/app", NET, "file")))
    paths = [archives.write_archive(tmp_path / f"{name}.tar", archives.WRITERS[name](image)) for name in (one, other)]
    result = run(*paths)
    assert result.status == 0, result.output
    with_manifests = {"buildkit", "docker 25"}
    has_manifests = {one, other} <= with_manifests
    assert result.verdict == ("same" if has_manifests == bool({one, other} & with_manifests) else "same image in another form"), (
        result.output
    )
    assert ("has no manifest" in result.output) != has_manifests


def test_only_the_compression_differs(tmp_path, run):
    plain = tar(("/app", NET, "file"))
    paths = [
        write_file(tmp_path / "plain", plain),
        write_file(tmp_path / "fast", gzip.compress(plain, 1, mtime=0)),
        write_file(tmp_path / "dated", gzip.compress(plain, 1, mtime=77)),
    ]
    result = run(paths[0], paths[1])
    assert (result.status, result.verdict) == (1, "differs: compression, in layer 1 of 1")
    assert f"not compressed, {len(plain)} bytes -> gzip" in result.output
    result = run(paths[1], paths[2])
    assert result.status == 1 and "time in the gzip header: 0 -> 77" in result.output
    assert run("--ignore=compression", paths[0], paths[2]).status == 0


def test_an_image_is_compared_with_a_tar_of_files(tmp_path, run):
    files = tar(("/app", NET, "file"))
    result = run(layout(tmp_path / "image", files), write_file(tmp_path / "files.tar", files))
    assert (result.status, result.verdict) == (0, "same image in another form")
    assert "only layers are compared" in result.output
    result = run(layout(tmp_path / "image2", BASE, files), write_file(tmp_path / "files.tar", files))
    assert (result.status, result.verdict) == (1, "differs: layers, in layer 1 of the first image")
    assert "- 2 entries" in result.output


def test_images_of_an_index_are_compared_by_platform(tmp_path, run):
    image = draw_image(random.Random(1))
    image.index, image.platforms = {}, ["amd64", "arm64"]
    index = image.write_layout(tmp_path / "index")
    changed = copy.deepcopy(image)
    changed.layers[0].entries[0].mode = 0o700
    changed.platforms = ["arm64", "s390x"]
    other = changed.write_layout(tmp_path / "other")
    result = run(index, other)
    assert (result.status, result.verdict) == (1, f"differs: index and mode, in linux/arm64: layer 1 of {len(image.layers)}")
    assert "- manifests  linux/amd64" in result.output and "+ manifests  linux/s390x" in result.output
    result = run("--platform=linux/arm64", index, other)
    assert (result.status, result.verdict) == (1, f"differs: mode, in layer 1 of {len(image.layers)}")
    result = run("--platform=linux/amd64", index, other)
    assert (result.status, result.output) == (2, "")
    assert result.errors == (
        f'image_diff: platform: "linux/amd64": "{other}" has no image for it; it has linux/arm64, linux/s390x\n'
    )
    single = copy.deepcopy(changed)
    single.index, single.platforms = None, ["arm64"]
    result = run(index, single.write_layout(tmp_path / "single"))
    assert (result.status, result.verdict) == (1, f"differs: mode, in layer 1 of {len(image.layers)}")
    assert "note: the first has images for linux/amd64 too, which are not compared" in result.output
    single.platforms = ["riscv64"]
    result = run(index, single.write_layout(tmp_path / "risc"))
    assert result.status == 2 and "has no image for that platform; it has linux/amd64, linux/arm64" in result.errors


def test_standard_input_is_read_once(tmp_path, run, monkeypatch):
    data = tar(("/app", NET, "file"))
    path = write_file(tmp_path / "a.tar", data)
    for arguments in (("-", path), (path, "-")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert run(*arguments).verdict == "same"
    result = run("-", "-")
    assert result.status == 2 and '"-" is standard input, which can be read once' in result.errors


def test_problems_of_both_images_are_reported_in_one_line_each(tmp_path, run):
    damaged = write_file(tmp_path / "damaged.tar", tar(("/a", None, "x" * 2000))[:1500])
    result = run(tmp_path / "absent", damaged)
    assert (result.status, result.output) == (2, "")
    assert result.errors.splitlines() == [
        f"image_diff: {tmp_path}/absent: No such file or directory",
        f'image_diff: image: "{damaged}": ends within the content of an entry, at byte 1500',
    ]


def test_a_damaged_blob_is_reported(tmp_path, run):
    image = layout(tmp_path / "a", BASE, tar(("/app", NET, "file")))
    other = layout(tmp_path / "b", BASE, tar(("/app", ADMIN, "file")))
    digest = json.loads((other / "index.json").read_text())["manifests"][0]["digest"]
    manifest = json.loads((other / "blobs/sha256" / digest[7:]).read_text())
    for number in (0, 1):
        blob = other / "blobs/sha256" / manifest["layers"][number]["digest"][7:]
        data = blob.read_bytes()
        blob.write_bytes(data[:-1] + b"x")
        result = run(image, other)
        assert (result.status, result.output) == (2, "")
        assert len(result.errors.splitlines()) == 1 and str(other) in result.errors and "digest" in result.errors
        blob.write_bytes(data)
    blob.unlink()
    result = run(image, other)
    assert (result.status, result.output) == (2, "") and "cannot be read: No such file or directory" in result.errors


def test_the_layer_that_is_not_valid_is_named(tmp_path, run):
    valid, damaged = tar(("/a", None, "x" * 2000)), tar(("/a", None, "y" * 2000))[:1500]
    first, second = layout(tmp_path / "a", valid), layout(tmp_path / "b", damaged)
    digest = f"sha256:{hashlib.sha256(damaged).hexdigest()}"
    for arguments in ((first, second), (second, first)):
        result = run(*arguments)
        assert result.status == 2
        assert result.errors.startswith(f'image_diff: image: "{second}": layer {digest}: ends within')
