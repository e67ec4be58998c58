"""Directory, user, strategy and module system do not change a byte, and all configurations share a cache."""

from __future__ import annotations

import json
import os
import pathlib
import tarfile
import tempfile

import pytest

from support import bazel
from support import layout as layouts
from support.bazel import Workspace


def _build_image(workspace: Workspace) -> str:
    """Builds the image, verifies its blobs, and returns the digest of its manifest."""
    workspace.run("build", bazel.LAYOUTS, "//:image")
    layout = workspace.output("image")
    manifest = layouts.manifest(layout)
    for descriptor in [manifest["config"], *manifest["layers"]]:
        layouts.blob(layout, descriptor)
    return json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"]


def test_directory_user_and_workspace_do_not_change_the_digest():
    user = 12345 if os.geteuid() == 0 else None  # Only root can become another user.
    # Not the directory of pytest, which another user cannot search. Bazel makes files
    # read-only, so that only root can remove them.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        directory = pathlib.Path(temporary)
        directory.chmod(0o755)
        first = _build_image(Workspace(directory / "first"))
        assert first.startswith("sha256:")
        other = Workspace(directory / "another" / "place", user=user)
        assert _build_image(other) == first
        assert other.output("image").stat().st_uid == (user or os.geteuid())
        assert _build_image(Workspace(directory / "workspace", module=False)) == first


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


# Bazel 7 does not tell this action whether an output is an unresolved symlink, and nothing else does.
UNKNOWN = {"links/made_by_ln": ["--strategy=SetcapLayer=local"]}


def test_strategies_do_not_change_a_byte(workspace):
    workspace.write_links()
    layers = ["data", "links/links", "links/made_by_ln"]
    labels = ["//" + layer.replace("/", ":") if "/" in layer else f"//:{layer}" for layer in layers]
    names = {layer: [layer + extension for extension in (".tar.gz", ".layer.json")] for layer in layers}
    workspace.run("build", "//:another_name", *labels)
    expected = {name: workspace.output(name).read_bytes() for layer in layers for name in names[layer]}
    assert workspace.output("another_name.tar.gz").read_bytes() == expected["data.tar.gz"]
    assert _read_types(workspace.output("links/made_by_ln.tar.gz")) == {
        "usr": "5",
        "usr/lib": "5",
        "usr/lib/lib.so": "0",
        "usr/lib/lib.so.1": "0",
    }
    for way in WAYS:
        for name in expected:
            workspace.output(name).unlink(missing_ok=True)
        workspace.run("build", *labels, *way)
        known = {name for layer in layers if UNKNOWN.get(layer) != way for name in names[layer]}
        assert [name for name in known if workspace.output(name).read_bytes() != expected[name]] == [], way


def _read_types(layer: pathlib.Path) -> dict[str, str]:
    """Returns the type of each entry of a layer, by name."""
    with tarfile.open(layer) as archive:
        return {entry.name: entry.type.decode() for entry in archive}


@pytest.fixture(scope="module")
def every(workspace: Workspace) -> Workspace:
    """Returns the workspace with every kind of action, in //every."""
    workspace.write_every()
    return workspace


MAPPED = {"SetcapAttributes", "SetcapCheck", "SetcapContents", "SetcapCopy", "SetcapDestination", "SetcapExport"}
MAPPED |= {"SetcapDivideManifests", "SetcapImage", "SetcapIndex", "SetcapKo", "SetcapManifests", "SetcapPush"}
MAPPED |= {"SetcapLayer", "SetcapSettings", "SetcapTar", "SetcapUnpack", "SetcapImageTest"}


def test_every_action_maps_its_paths(every):
    """Actions that make links are not mapped, because they run on this machine only."""
    done = every.run("aquery", "--output=jsonproto", "--noinclude_commandline", 'mnemonic("Setcap.*", //every/...)')
    requirements = {
        action["mnemonic"]: {each["key"] for each in action.get("executionInfo", [])}
        for action in json.loads(done.stdout)["actions"]
    }
    assert {mnemonic for mnemonic, keys in requirements.items() if "supports-path-mapping" in keys} == MAPPED
    assert requirements.keys() - MAPPED == {"SetcapLayout"}
    assert {"no-cache", "no-remote"} <= requirements["SetcapLayout"]


def test_a_cache_serves_every_configuration(every, tmp_path):
    """With mapped paths, an action is a cache hit in another compilation mode."""
    log = tmp_path / "log"
    options = [f"--disk_cache={tmp_path}/cache", "--experimental_output_paths=strip", "--worker_sandboxing"]
    options += [f"--execution_log_json_file={log}", bazel.LAYOUTS, "//every/..."]
    run: dict[str, dict[str, bool]] = {}
    for mode in ("fastbuild", "opt"):
        every.run("clean")
        every.run("build", f"--compilation_mode={mode}", *options)
        run[mode] = _find_cache_hits(log)
    assert run["fastbuild"] == {**dict.fromkeys(MAPPED, False), "SetcapLayout": False}
    assert run["opt"] == {**dict.fromkeys(MAPPED, True), "SetcapLayout": False}


def _find_cache_hits(log: pathlib.Path) -> dict[str, bool]:
    """Returns whether all actions with a mnemonic were cache hits, by mnemonic, from an execution log."""
    hits: dict[str, bool] = {}
    for action in bazel.read_actions(log):
        hits[action["mnemonic"]] = hits.get(action["mnemonic"], True) and action["cacheHit"]
    return hits


def test_mapped_paths_need_sandboxed_workers(workspace):
    workspace.output("data.tar.gz").unlink(missing_ok=True)
    done = workspace.run("build", "--experimental_output_paths=strip", "//:data", check=False)
    assert done.returncode == 1
    assert "With --experimental_output_paths=strip, Bazel's workers need --worker_sandboxing." in done.stderr
