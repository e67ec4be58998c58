"""A remote executor makes the same bytes as this machine."""

from __future__ import annotations

import os
import pathlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import executor as executors
import pulling
import pytest

from support import bazel
from support import registry as registries
from support.bazel import Workspace

# These actions make links to outputs on this machine, so rules/private/request.bzl forbids to run them remotely.
LOCAL = {"SetcapLayout"}
# These actions need a base in a registry. tests/integration:pull_test has one.
PULLING = {"SetcapDocuments", "SetcapFetch", "SetcapSearch"}
LAYOUTS = ["every/above", "every/image", "every/index"]
# Some of the outputs that are compared: each compression, and the documents of an image.
OUTPUTS = {"gzip.tar.gz", "none.tar", "zstd.tar.zst", "retrofitted.tar.gz", "image_binary.layer.json"}
OUTPUTS |= {"links.tar.gz", "made_by_ln.tar.gz", "image.config.json", "image.manifest.json", "index.index.json", "oci-layout"}
SEARCHED = """
load("@rules_setcap//rules:image.bzl", "image")
image(
    name = "image",
    base = "@base",
    disabled_checks = ["architecture", "format"],
    file_capabilities = {"/usr/bin/ping": "cap_net_raw=ep"},
    platform = "linux/amd64",
)
"""
# Seconds. A build whose worker has ended would wait for ever.
TIMEOUT = 300


class Built(NamedTuple):
    """The result of a build on this machine."""

    runners: dict[str, set[str]]
    outputs: dict[str, bytes]
    layouts: dict[str, bytes]


@pytest.fixture(scope="module")
def directory() -> Iterator[pathlib.Path]:
    """Yields a directory with a short path, for sockets, that the user of PostgreSQL can search."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        pathlib.Path(temporary).chmod(0o755)
        yield pathlib.Path(temporary)


@pytest.fixture(scope="module")
def executor(directory: pathlib.Path) -> Iterator[executors.Executor]:
    executor_directory = directory / "executor"
    executor_directory.mkdir()
    with executors.run_executor(executor_directory, pathlib.Path(os.environ["BGD"]).absolute()) as running:
        yield running
    assert executors.list_processes(executor_directory) == []


@pytest.fixture(scope="module")
def local(directory: pathlib.Path) -> Built:
    workspace = _make_workspace(directory / "here")
    try:
        actions = _build(workspace, "//app:all", "//every:all", "//links:all")
        return Built(_collect_runners(actions), _read_outputs(workspace, actions), _read_layouts(workspace))
    finally:
        workspace.stop()


@pytest.fixture(scope="module")
def remote(directory: pathlib.Path, executor: executors.Executor) -> Iterator[Workspace]:
    """Yields a workspace whose Bazel ends before the executor does."""
    workspace = _make_workspace(directory / "another" / "place")
    yield workspace
    workspace.stop()


def _make_workspace(directory: pathlib.Path) -> Workspace:
    made = Workspace(directory)
    made.write_every()
    made.write_links()
    consumer = pathlib.Path("tests/remote/consumer")
    made.write("app/BUILD.bazel", (consumer / "BUILD.remote").read_text())
    made.write("app/tree.bzl", (consumer / "tree.bzl").read_text())
    made.write("app/hello.c", (made.directory / "hello.c").read_text())
    for name in ("second", "first", "below/third"):
        made.write(f"app/sources/{name}", name)
    return made


def _build(workspace: Workspace, *args: str) -> list[dict[str, Any]]:
    """Builds targets; returns the entries of the execution log for the actions of these rules."""
    log = workspace.directory.parent / "log.json"
    workspace.run("build", f"--execution_log_json_file={log}", bazel.LAYOUTS, *args, timeout=TIMEOUT)
    return bazel.read_actions(log)


def _collect_runners(actions: Sequence[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Returns how Bazel has run actions, by mnemonic."""
    runners: dict[str, set[str]] = {}
    for action in actions:
        runners.setdefault(action["mnemonic"], set()).add(action["runner"])
    return runners


def _check_runners(runners: Mapping[str, set[str]], expected: str) -> None:
    """Checks that Bazel has run every kind of action in one way, except for those that must run on this machine."""
    remote = {name: ways for name, ways in runners.items() if name not in LOCAL}
    assert remote == {mnemonic: {expected} for mnemonic in _list_mnemonics() - LOCAL}
    assert not [way for name in LOCAL for way in runners[name] if "remote" in way]


def _read_outputs(workspace: Workspace, actions: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """Returns the contents of all outputs, by path."""
    names = [name for action in actions for name in action["listedOutputs"]]
    return _read_files(workspace.directory, *(workspace.directory / name for name in names))


def _read_layouts(workspace: Workspace) -> dict[str, bytes]:
    """Returns the contents of all files of the layouts, by path."""
    return _read_files(workspace.output(""), *map(workspace.output, LAYOUTS))


def _read_files(root: pathlib.Path, *paths: pathlib.Path) -> dict[str, bytes]:
    """Returns the contents of files, and of the files in directories, by path relative to `root`. Links are followed."""
    files = (file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]))
    return {str(file.relative_to(root)): file.read_bytes() for file in files if not file.is_dir()}


def _find_differences(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> list[str]:
    """Returns the paths of the files that only one has, or that differ."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _list_mnemonics() -> set[str]:
    """Returns the mnemonics of all actions that the rules declare, without those for bases in registries."""
    sources = [pathlib.Path(name) for name in os.environ["DISTRIBUTION"].split() if name.startswith("rules/")]
    names = {name for source in sources for name in re.findall(r'\bmnemonic = "(\w+)"', source.read_text())}
    assert names > PULLING
    return names - PULLING


def test_actions_run_remotely_and_make_the_same_bytes(local, remote, executor):
    assert local.runners.keys() == _list_mnemonics()
    assert not [way for ways in local.runners.values() for way in ways if "remote" in way]
    with executor.add_reports():
        actions = _build(remote, *executor.flags, "--remote_download_outputs=all", "//app:all", "//every:all", "//links:all")
    _check_runners(_collect_runners(actions), "remote")

    outputs = _read_outputs(remote, actions)
    assert {pathlib.Path(name).name for name in outputs} >= OUTPUTS
    assert _find_differences(outputs, local.outputs) == []


def test_an_interpreter_of_the_build_runs_remotely_and_configurations_share_results(local, remote, executor):
    """The interpreter is an input of each action, as that of rules_python is. Bazel only downloads the requested outputs."""
    toolchain, _ = remote.write_interpreter()
    flags = [*executor.flags, f"--extra_toolchains={toolchain}", "--experimental_output_paths=strip", "//every:all"]
    for mode, runner in (("fastbuild", "remote"), ("opt", "remote cache hit")):
        with executor.add_reports():
            actions = _build(remote, f"--compilation_mode={mode}", *flags)
        _check_runners(_collect_runners(actions), runner)
        interpreters = {action["commandArgs"][0] for action in actions if action["mnemonic"] == "SetcapLayer"}
        assert interpreters == {"interpreter/bin/python"}
        assert _find_differences(_read_layouts(remote), local.layouts) == []


def test_files_of_a_base_in_a_registry_are_searched_here_and_copied_remotely(remote, executor, tmp_path_factory):
    """No layer is an input of a remote action, and whoever has the cache needs no registry."""
    remote.write("searched/BUILD.bazel", SEARCHED)
    with registries.serve(tmp_path_factory.mktemp("registry")) as registry:
        consumer = pulling.Consumer(remote, pulling.Base(tmp_path_factory.mktemp("base")), registry)
        consumer.pull_new("base")
        flags = [*executor.flags, "--remote_download_minimal", "//searched:image"]
        with executor.add_reports():
            runners = _collect_runners(_build(remote, *flags))
            assert {runner for name, ways in runners.items() if name not in {*LOCAL, "SetcapSearch"} for runner in ways} == {
                "remote"
            }
            assert runners["SetcapSearch"] == {"local"} and "SetcapFetch" not in runners
            layers = consumer.base.layers["linux/amd64"]
            fetched = registry.fetched_blobs("base")
            assert sorted(blob for blob in fetched if blob in layers) == sorted(layers)
            remote.run("clean")
            runners = _collect_runners(_build(remote, *flags))
        assert runners["SetcapSearch"] == {"remote cache hit"}
        assert registry.fetched_blobs("base") == fetched
