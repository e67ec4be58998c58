"""image_diff pulls images from a registry by crane or skopeo."""

from __future__ import annotations

import pathlib
import random
import subprocess

import pytest
from drawn_images import Entry, Layer, draw_image

from rules_setcap.diff import cli
from support import registry, require


@pytest.mark.parametrize("client", ["crane", "skopeo"])
def test_an_image_of_a_registry_is_compared(tmp_path, monkeypatch, capfd, client):
    image = draw_image(random.Random(1))
    image.index, image.platforms = {}, ["amd64", "arm64"]
    layout = image.write_layout(tmp_path / "image")
    (tmp_path / "served").mkdir()
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / client).symlink_to(require.tool(client))
    with registry.serve(tmp_path / "served") as served:
        name = f"{served.host}/app:v1"
        subprocess.run([require.tool("crane"), "push", "--insecure", layout, name], check=True, capture_output=True)
        monkeypatch.setenv("PATH", str(programs))
        for argument in (name, f"docker://{name}"):
            assert cli.main([argument, str(layout)]) == 0
            assert capfd.readouterr().out.startswith("same\n")
        assert cli.main([f"{served.host}/absent:v1", str(layout)]) == 2
        assert f"{client} has not pulled it (exit code" in capfd.readouterr().err


def test_without_a_client_the_message_names_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["registry.example/app:v1", "registry.example/app:v2"]) == 2
    (first, second) = capsys.readouterr().err.splitlines()
    assert first == (
        'image_diff: image: "registry.example/app:v1": an image in a registry needs a client on PATH; install crane or skopeo, '
        "or give a file or a directory"
    )
    assert second == first.replace(":v1", ":v2")


def test_a_file_with_the_name_of_an_image_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = pathlib.Path("registry.example/app")
    path.parent.mkdir()
    layer = Layer([Entry("/x", content=b"x")]).write_tar()
    path.write_bytes(layer)
    assert cli.main([str(path), str(path)]) == 0
    assert capsys.readouterr().out.startswith("same\n")
