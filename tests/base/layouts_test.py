"""A base that is an OCI image layout directory is copied or linked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import pytest
from bases import copy_to_source_tree, umoci_layout, unpack_image  # noqa: F401 (umoci_layout is a fixture)

from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import image_documents
from support import layout as layouts
from support import packer


def test_a_layout_in_the_source_tree_is_copied(umoci_layout, tmp_path):
    source = copy_to_source_tree(umoci_layout, tmp_path)
    (source / "blobs/sha256/unrelated").write_text("left out")
    assert unpack_image(tmp_path, source) == (0, "")
    assert layouts.config(tmp_path / "layout") == layouts.config(umoci_layout)
    copies = list((tmp_path / "layout/blobs/sha256").iterdir())
    assert {path.name for path in copies} == {path.name for path in (umoci_layout / "blobs/sha256").iterdir()}
    assert not any(path.is_symlink() for path in copies)


def test_a_damaged_layout_is_refused(umoci_layout, tmp_path):
    source = copy_to_source_tree(umoci_layout, tmp_path)
    blobs = sorted((source / "blobs/sha256").iterdir())[:2]
    for blob in blobs:
        blob.write_bytes(b"damaged")
    done = unpack_image(tmp_path, source)
    digest = hashlib.sha256(b"damaged").hexdigest()
    lines = [f'{packer.TARGET}: base: "{source}": "blobs/sha256/{blob.name}" has digest sha256:{digest}\n' for blob in blobs]
    assert done == (1, "".join(lines))
    assert not (tmp_path / "layout").exists()
    shutil.rmtree(source / "blobs")
    (source / "index.json").unlink()
    message = f'{packer.TARGET}: base: "{source}": a directory without index.json; give an OCI layout directory\n'
    assert unpack_image(tmp_path, source) == (1, message)


def test_the_files_of_a_layout_are_linked(umoci_layout, tmp_path):
    source = copy_to_source_tree(umoci_layout, tmp_path)
    other = tmp_path / "other/blobs/sha256" / ("0" * 64)
    other.parent.mkdir(parents=True)
    other.touch()
    flags = ["--attribute=image", "--output=layout", f"--index={source}/index.json"]
    files = [f"--file={path}" for path in [*source.rglob("*"), other] if path.is_file()]
    assert packer.run("link", *flags, *files, cwd=tmp_path) == (0, "")
    assert layouts.config(tmp_path / "layout") == layouts.config(umoci_layout)
    links = {path.name: os.readlink(path) for path in (tmp_path / "layout/blobs/sha256").iterdir()}
    assert links == {path.name: os.path.realpath(path) for path in (source / "blobs/sha256").iterdir()}
    assert (tmp_path / "layout/oci-layout").exists()
    done = packer.run("link", *flags, f"--file={source}/index.json", cwd=tmp_path)
    what = "the index.json of an OCI layout without its blobs; give all files of the layout"
    assert done == (1, f'{packer.TARGET}: image: "{source}/index.json": {what}\n')


def test_a_layout_must_have_one_image_or_index(umoci_layout, tmp_path):
    source = copy_to_source_tree(umoci_layout, tmp_path)
    index = json.loads((source / "index.json").read_bytes())
    (descriptor,) = index["manifests"]
    # One image has a descriptor for each of its tags.
    tagged = [{**descriptor, "annotations": {"org.opencontainers.image.ref.name": tag}} for tag in ("1", "2")]
    (source / "index.json").write_text(json.dumps({**index, "manifests": tagged}))
    assert image_documents.find_only_descriptor(str(source))["digest"] == descriptor["digest"]
    for manifests, message in (
        ([], "its index.json names 0 images; give a layout of one image, or of one image index"),
        (
            [descriptor, {**descriptor, "digest": "sha256:" + "0" * 64}],
            "its index.json names 2 images; give a layout of one image, or of one image index",
        ),
        ({}, "its index has no list of manifests"),
    ):
        (source / "index.json").write_text(json.dumps({**index, "manifests": manifests}))
        with pytest.raises(InputError) as refused:
            image_documents.find_only_descriptor(str(source))
        assert refused.value.problems == [f'image: "{source}": {message}']
