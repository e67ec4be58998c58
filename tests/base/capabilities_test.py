"""Images on top of a base whose files have capabilities, which Bazel builds."""

from __future__ import annotations

import json
import os
import pathlib
import tarfile
from typing import Any

import pytest
from bases import read_capabilities

from support import layout as layouts
from support.container import Bundle

HERE = pathlib.Path("tests/base")
NET_RAW = "0100000200200000000000000000000000000000"


@pytest.mark.parametrize("name", ["above", "above_archive"])
def test_files_of_the_base_are_copied_with_their_attributes(name, tmp_path):
    root = Bundle(HERE / name, tmp_path).rootfs
    assert read_capabilities(root, "usr/bin/first") == NET_RAW
    assert os.getxattr(root / "usr/bin/first", "user.comment") == b"kept"
    assert read_capabilities(root, "usr/bin/second") == ""
    assert read_capabilities(root, "app/helper") == "0000000200000000000000008000000000000000"
    statuses = [(root / path).stat() for path in ("app/helper", "bin/first")]
    assert [(oct(status.st_mode & 0o7777), status.st_uid) for status in statuses] == [("0o700", 0), ("0o711", 5)]
    assert (root / "bin").is_symlink()
    layers = layouts.manifest(HERE / name)["layers"]
    assert len(layers) == 3
    assert layers[0]["digest"] == layouts.manifest(HERE / "below")["layers"][0]["digest"]
    assert [entry.name for entry in _list_entries(HERE / name, layers[2])] == [
        "usr",
        "usr/bin",
        "usr/bin/first",
        "usr/bin/second",
    ]


@pytest.mark.parametrize("name", ["above", "above_archive"])
def test_annotations_have_the_capabilities_of_files(name):
    key = "io.github.rules_setcap.capabilities"
    manifest = layouts.manifest(HERE / name)
    assert [json.loads(layer["annotations"][key]) for layer in manifest["layers"]] == [
        {"/usr/bin/second": "cap_kill=ep"},
        {"/app/helper": "cap_bpf=p"},
        {"/usr/bin/first": "cap_net_raw=ep", "/usr/bin/second": ""},
    ]
    assert json.loads(manifest["annotations"][key]) == {"/app/helper": "cap_bpf=p", "/usr/bin/first": "cap_net_raw=ep"}
    assert "annotations" not in layouts.manifest(HERE / "own")


@pytest.mark.parametrize("name", ["above", "above_archive"])
def test_runtime_settings_have_the_capabilities_of_the_base(name):
    """They do not have cap_kill, which the image removes from a file of the base."""
    assert (HERE / f"{name}.docker.txt").read_text() == "--cap-drop=ALL --cap-add=NET_RAW --cap-add=BPF\n"
    assert (HERE / f"{name}.compose.yaml").read_text() == (
        f'services:\n  "{name}":\n    cap_drop: ["ALL"]\n    cap_add: ["NET_RAW", "BPF"]\n'
    )
    assert '  add: ["NET_RAW", "BPF"]\n' in (HERE / f"{name}.kubernetes.yaml").read_text()


@pytest.mark.parametrize("name, value", [("alone", "false"), ("below", "true"), ("above", "true")])
def test_privilege_escalation_is_allowed_only_if_other_files_need_it(name, value):
    """The first program keeps the capabilities that the runtime grants, and the level "restricted" forbids escalation."""
    assert f"\n  allowPrivilegeEscalation: {value}\n" in (HERE / f"{name}.kubernetes.yaml").read_text()


def test_files_of_a_base_of_another_tool_keep_their_capabilities():
    assert (HERE / "over_archive.docker.txt").read_text() == "--cap-drop=ALL --cap-add=KILL\n"
    manifest = layouts.manifest(HERE / "over_archive")
    assert json.loads(manifest["annotations"]["io.github.rules_setcap.capabilities"]) == {"/usr/bin/second": "cap_kill=ep"}


def test_no_layer_is_added_if_no_file_is_copied():
    assert len(layouts.manifest(HERE / "own")["layers"]) == 2
    assert len(layouts.config(HERE / "own")["rootfs"]["diff_ids"]) == 2


def _list_entries(layout: pathlib.Path, layer: dict[str, Any]) -> list[tarfile.TarInfo]:
    """Returns the entries of the layer with a descriptor."""
    with tarfile.open(layout / "blobs/sha256" / layer["digest"].removeprefix("sha256:")) as archive:
        return archive.getmembers()
