"""The same digest from another directory, another user, and a WORKSPACE file."""

from __future__ import annotations

import json
import pathlib

from support import layout as layouts
from support.bazel import Workspace


def _digest(workspace: Workspace) -> str:
    """Builds the image; returns the manifest's digest, all blobs checked."""
    workspace.run("build", "//:image")
    layout = workspace.output("image")
    manifest = layouts.manifest(layout)
    for descriptor in [manifest["config"], *manifest["layers"]]:
        layouts.blob(layout, descriptor)
    return json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"]


def test_directory_user_and_workspace_do_not_change_the_digest(tmp_path: pathlib.Path):
    # Another user must be able to enter what pytest keeps to itself.
    for folder in (tmp_path, *tmp_path.parents[:4]):
        folder.chmod(0o755)
    first = _digest(Workspace(tmp_path / "first"))
    assert first.startswith("sha256:")
    other = Workspace(tmp_path / "another" / "place", user=12345)
    assert _digest(other) == first
    assert other.output("image").stat().st_uid == 12345
    assert _digest(Workspace(tmp_path / "workspace", module=False)) == first
