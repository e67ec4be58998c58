"""The image that most tests of `imagecap set` change, and the flags of both ways."""

from __future__ import annotations

import pathlib
import tarfile

import pytest
from layouts import ELF, Layout

from rules_setcap.capabilities import from_text
from rules_setcap.oci import image_reader
from support.image import tar

NET = from_text("cap_net_bind_service=ep")
LOWER = tar(
    ("/bin", None, ">usr/bin"),
    ("/usr/bin", None, "directory"),
    ("/usr/bin/nginx", None, ELF),
    ("/usr/bin/alias", None, "=/usr/bin/nginx"),
    ("/usr/bin/link", None, ">nginx"),
    ("/usr/bin/loop", None, ">round"),
    ("/usr/bin/round", None, ">loop"),
    ("/usr/bin/script", None, b"#!/bin/sh\n"),
    ("/usr/bin/data", None, b"data", {"mode": 0o644}),
    ("/usr/bin/text", None, b"text"),
)
UPPER = tar(("/usr/bin/ping", NET, ELF + b"ping"))
WAYS = {"layer": ["--layer", "--compression=zlib"], "rewrite": ["--rewrite"]}
GRANT = "/usr/bin/nginx=cap_net_bind_service=ep"


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
    """An OCI layout with one image."""
    layout = Layout(tmp_path / "image")
    return layout.write_index(layout.put_image(LOWER, UPPER))


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> list[str]:
    """The flags of each way."""
    return WAYS[request.param]


def read_capabilities(path: pathlib.Path, platform: str = "") -> dict[str, str]:
    """Returns the capabilities of the only image, by path."""
    (image,) = image_reader.read_images(str(path), platform)
    assert image.problems == []
    return {name: value.to_text() for name, value in image.capabilities.items()}


def list_members(path: pathlib.Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {
            member.name: file.read() if (file := archive.extractfile(member)) else b"" for member in archive if member.isfile()
        }
