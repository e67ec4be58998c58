"""The functions of the library print nothing, and report arguments that are not valid as InputError."""

from __future__ import annotations

import os
from typing import Any

import pytest
from layouts import Layout, program_layer
from samples import image  # noqa: F401 (image is a fixture)

from rules_setcap.diagnostics.errors import InputError
from rules_setcap.imagecap import library

CAPABILITIES = {"/usr/bin/nginx": ["net_bind_service"]}
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "format": ({"format": "zip"}, 'format: "zip": is unknown; pass one of "oci", "oci-archive", "docker-archive"'),
    "compression": (
        {"compression": "lz4"},
        'compression: "lz4": is unknown; pass one of "gzip", "zlib", "zstd", "none"',
    ),
    "compression of a rewrite": (
        {"compression": "zstd", "rewrite": True},
        'compression: "zstd": rewrite keeps the compression of a layer; leave it out',
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_an_argument_that_is_not_valid_is_reported_and_nothing_is_written(tmp_path, image, name, capfd):
    arguments, message = MISTAKES[name]
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(InputError) as error:
        library.set_capabilities(image, tmp_path / "new", CAPABILITIES, **arguments)
    assert error.value.problems == [message]
    assert sorted(os.listdir(tmp_path)) == before
    assert capfd.readouterr() == ("", "")


def test_one_of_several_images_is_chosen_by_its_name(tmp_path, capfd):
    layout = Layout(tmp_path / "both")
    key = "org.opencontainers.image.ref.name"
    path = layout.write_index(
        *({**layout.put_image(program_layer(f"/{name}")), "annotations": {key: f"{name}:1"}} for name in "ab")
    )
    result = library.set_capabilities(path, tmp_path / "new", {"/b": "bpf"}, rewrite=True, image_name="b:1")
    assert len(result.images) == 1
    assert [file.path for file in library.read_image(tmp_path / "new", image_name="b:1").files] == ["/b"]
    assert library.read_image(tmp_path / "new", image_name="a:1").files == ()
    assert library.explain(tmp_path / "new", image_name="b:1", program="/b", docker_run="docker run b").is_good is not None
    with pytest.raises(InputError, match='has 2 images; write image_name, one of "a:1", "b:1"'):
        library.read_image(path)
    assert capfd.readouterr() == ("", "")
