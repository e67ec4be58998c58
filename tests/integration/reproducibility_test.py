"""The same digest from another directory, another user, and a WORKSPACE file."""

from __future__ import annotations

import json
import os
import pathlib
import re
import tempfile

import pytest

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
    user = 12345 if os.geteuid() == 0 else None  # Only root can be somebody else.
    # Not in pytest's own directory: another user has to get there. And what Bazel
    # keeps is read-only, so that only root can remove it.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        directory = pathlib.Path(temporary)
        directory.chmod(0o755)
        first = _digest(Workspace(directory / "first"))
        assert first.startswith("sha256:")
        other = Workspace(directory / "another" / "place", user=user)
        assert _digest(other) == first
        assert other.output("image").stat().st_uid == (user or os.geteuid())
        assert _digest(Workspace(directory / "workspace", module=False)) == first


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("workspace"))


WAYS = [
    ["--strategy=SetcapLayer=worker"],
    ["--strategy=SetcapLayer=worker", "--worker_sandboxing"],
    ["--strategy=SetcapLayer=local"],
    ["--strategy=SetcapLayer=processwrapper-sandbox"],
    ["--compilation_mode=opt"],
    ["--compilation_mode=dbg", "--experimental_output_paths=strip", "--worker_sandboxing"],
    ["--experimental_output_paths=strip", "--strategy=SetcapLayer=processwrapper-sandbox"],
    ["--action_env=SOURCE_DATE_EPOCH=1", "--action_env=TZ=Asia/Kathmandu", "--action_env=LC_ALL=C"],
]


def test_how_it_is_built_does_not_change_a_byte(workspace):
    layers = ("data", "by_libdeflate")
    names = [name + extension for name in layers for extension in (".tar.gz", ".layer.json")]
    workspace.run("build", "//:another_name", *(f"//:{name}" for name in layers))
    expected = {name: workspace.output(name).read_bytes() for name in names}
    assert workspace.output("another_name.tar.gz").read_bytes() == expected["data.tar.gz"]
    for way in WAYS:
        for name in names:
            workspace.output(name).unlink(missing_ok=True)
        workspace.run("build", *(f"//:{name}" for name in layers), *way)
        assert {name: workspace.output(name).read_bytes() for name in names} == expected, way


def test_a_cache_serves_every_configuration(workspace, tmp_path):
    """With paths stripped of it, an action of one compilation mode is a hit in another."""
    options = [f"--disk_cache={tmp_path}/cache", "--experimental_output_paths=strip", "--worker_sandboxing", "//:data"]
    workspace.run("clean")
    workspace.run("build", *options)
    workspace.run("clean")
    done = workspace.run("build", "--compilation_mode=opt", *options)
    assert re.search(r"processes: .*\b1 disk cache hit", done.stderr), done.stderr
    assert not re.search(r"processes: .*\bworker", done.stderr), done.stderr


def test_stripped_paths_want_sandboxed_workers(workspace):
    workspace.output("data.tar.gz").unlink(missing_ok=True)
    done = workspace.run("build", "--experimental_output_paths=strip", "//:data", check=False)
    assert done.returncode == 1
    assert "With --experimental_output_paths=strip, Bazel's workers need --worker_sandboxing." in done.stderr
