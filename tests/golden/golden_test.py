"""Layers and images are, byte for byte, what they were; and what no refresh can change."""

from __future__ import annotations

import difflib
import json
import pathlib

import pytest

from listing import GOLDENS, HERE


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(name):
    path = pathlib.Path(__file__).with_name(name)
    expected = path.read_text() if path.exists() else ""
    found = GOLDENS[name]()
    if found != expected:
        difference = "".join(difflib.unified_diff(expected.splitlines(True), found.splitlines(True), name, "built"))
        pytest.fail(f"{difference}\nIf this is meant: ./bazelw run //tests/golden:update", pytrace=False)


def test_what_an_image_says_of_itself_is_so():
    """Recomputed from the bytes, whatever the goldens hold."""
    manifest = json.loads((HERE / "image.manifest.json").read_bytes())
    listed = [GOLDENS[name]().splitlines() for name in ("capabilities.golden", "image.golden")]
    layers = [lines[at : at + 2] for lines in listed for at, line in enumerate(lines) if line.startswith(("capabilities.tar", "image_binary.tar"))]
    assert [line.split()[1:] for line, _ in layers] == [[each["digest"], str(each["size"])] for each in manifest["layers"]]
    config = json.loads((HERE / "image.config.json").read_bytes())
    assert ["diff_id " + each for each in config["rootfs"]["diff_ids"]] == [line for _, line in layers]
