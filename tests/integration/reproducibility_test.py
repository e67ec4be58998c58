"""The same digest from another directory, another user, and a WORKSPACE file."""

from __future__ import annotations

import json
import pathlib
import tempfile

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


def test_directory_user_and_workspace_do_not_change_the_digest():
    # Not in pytest's own directory: another user has to get there.
    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(temporary)
        directory.chmod(0o755)
        first = _digest(Workspace(directory / "first"))
        assert first.startswith("sha256:")
        other = Workspace(directory / "another" / "place", user=12345)
        assert _digest(other) == first
        assert other.output("image").stat().st_uid == 12345
        assert _digest(Workspace(directory / "workspace", module=False)) == first
