"""The same digest from another directory, another user, and a WORKSPACE file."""

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


# Bazel 7 does not tell this action that an output is no unresolved symlink, and nothing else does.
UNKNOWN = {"links/made_by_ln": ["--strategy=SetcapLayer=local"]}


def test_how_it_is_built_does_not_change_a_byte(workspace):
    workspace.write_links()
    layers = ["data", "by_libdeflate", "links/links", "links/made_by_ln"]
    labels = ["//" + layer.replace("/", ":") if "/" in layer else f"//:{layer}" for layer in layers]
    names = {layer: [layer + extension for extension in (".tar.gz", ".layer.json")] for layer in layers}
    workspace.run("build", "//:another_name", *labels)
    expected = {name: workspace.output(name).read_bytes() for layer in layers for name in names[layer]}
    assert workspace.output("another_name.tar.gz").read_bytes() == expected["data.tar.gz"]
    assert _types(workspace.output("links/made_by_ln.tar.gz")) == {"usr": "5", "usr/lib": "5", "usr/lib/lib.so": "0", "usr/lib/lib.so.1": "0"}
    for way in WAYS:
        for name in expected:
            workspace.output(name).unlink(missing_ok=True)
        workspace.run("build", *labels, *way)
        known = {name for layer in layers if UNKNOWN.get(layer) != way for name in names[layer]}
        assert [name for name in known if workspace.output(name).read_bytes() != expected[name]] == [], way


def _types(layer: pathlib.Path) -> dict[str, str]:
    """Returns the type of each entry, as the tar has it."""
    with tarfile.open(layer) as archive:
        return {entry.name: entry.type.decode() for entry in archive}


@pytest.fixture(scope="module")
def every(workspace: Workspace) -> Workspace:
    """With every action that there is, below //every."""
    workspace.write_every()
    return workspace


MAPPED = {"SetcapAttributes", "SetcapCheck", "SetcapContents", "SetcapCopy", "SetcapDestination", "SetcapExport"}
MAPPED |= {"SetcapImage", "SetcapIndex", "SetcapKo"}
MAPPED |= {"SetcapLayer", "SetcapSettings", "SetcapTar", "SetcapUnpack", "SetcapImageTest"}


def test_every_action_maps_its_paths(every):
    """But for those that make links, which stay where they are made."""
    done = every.run("aquery", "--output=jsonproto", "--noinclude_commandline", 'mnemonic("Setcap.*", //every/...)')
    requirements = {
        action["mnemonic"]: {each["key"] for each in action.get("executionInfo", [])} for action in json.loads(done.stdout)["actions"]
    }
    assert {mnemonic for mnemonic, keys in requirements.items() if "supports-path-mapping" in keys} == MAPPED
    assert requirements.keys() - MAPPED == {"SetcapLayout"}
    assert {"no-cache", "no-remote"} <= requirements["SetcapLayout"]


def test_a_cache_serves_every_configuration(every, tmp_path):
    """With paths stripped of it, an action of one compilation mode is a hit in another."""
    log = tmp_path / "log"
    options = [f"--disk_cache={tmp_path}/cache", "--experimental_output_paths=strip", "--worker_sandboxing"]
    options += [f"--execution_log_json_file={log}", "//every/..."]
    run: dict[str, dict[str, bool]] = {}
    for mode in ("fastbuild", "opt"):
        every.run("clean")
        every.run("build", f"--compilation_mode={mode}", *options)
        run[mode] = _hits(log)
    assert run["fastbuild"] == {**dict.fromkeys(MAPPED, False), "SetcapLayout": False}
    assert run["opt"] == {**dict.fromkeys(MAPPED, True), "SetcapLayout": False}


def _hits(log: pathlib.Path) -> dict[str, bool]:
    """Of an execution log: mnemonics of our actions, and whether all of them were hits of a cache."""
    hits: dict[str, bool] = {}
    for action in bazel.read_actions(log):
        hits[action["mnemonic"]] = hits.get(action["mnemonic"], True) and action["cacheHit"]
    return hits


def test_stripped_paths_want_sandboxed_workers(workspace):
    workspace.output("data.tar.gz").unlink(missing_ok=True)
    done = workspace.run("build", "--experimental_output_paths=strip", "//:data", check=False)
    assert done.returncode == 1
    assert "With --experimental_output_paths=strip, Bazel's workers need --worker_sandboxing." in done.stderr
