"""What a remote executor makes is what this machine makes, byte for byte."""

from __future__ import annotations

import os
import pathlib
import re
import tempfile
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import executor as executors
import pytest

from support import bazel
from support.bazel import Workspace

# Links to this machine's outputs are of no use on another: rules/private/request.bzl tells Bazel so.
LOCAL = {"SetcapLayout"}
LAYOUTS = ["every/above", "every/image", "every/index"]
# Some of what is compared: each compression, and what an image is.
MADE = {"gzip.tar.gz", "libdeflate.tar.gz", "none.tar", "zstd.tar.zst", "retrofitted.tar.gz", "image_binary.layer.json"}
MADE |= {"links.tar.gz", "made_by_ln.tar.gz", "image.config.json", "image.manifest.json", "index.index.json", "oci-layout"}
# Seconds. A build whose worker has ended waits for another.
TIMEOUT = 300


class Built(NamedTuple):
    """What was built on this machine alone."""

    runners: dict[str, set[str]]
    outputs: dict[str, bytes]
    layouts: dict[str, bytes]


@pytest.fixture(scope="module")
def directory() -> Iterator[pathlib.Path]:
    """Not pytest's own: PostgreSQL's user has to get there, and the paths of sockets are short."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        pathlib.Path(temporary).chmod(0o755)
        yield pathlib.Path(temporary)


@pytest.fixture(scope="module")
def executor(directory: pathlib.Path) -> Iterator[executors.Executor]:
    place = directory / "executor"
    place.mkdir()
    with executors.serve(place, pathlib.Path(os.environ["BGD"]).absolute()) as running:
        yield running
    assert executors.processes(place) == []


@pytest.fixture(scope="module")
def local(directory: pathlib.Path) -> Built:
    workspace = _workspace(directory / "here")
    try:
        actions = _build(workspace, "//app:all", "//every:all", "//links:all")
        return Built(_runners(actions), _outputs(workspace, actions), _layouts(workspace))
    finally:
        workspace.stop()


@pytest.fixture(scope="module")
def remote(directory: pathlib.Path, executor: executors.Executor) -> Iterator[Workspace]:
    """Which ends before the executor does."""
    workspace = _workspace(directory / "another" / "place")
    yield workspace
    workspace.stop()


def _workspace(directory: pathlib.Path) -> Workspace:
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
    """Builds; returns what the execution log says of the rules' own actions."""
    log = workspace.directory.parent / "log.json"
    workspace.run("build", f"--execution_log_json_file={log}", *args, timeout=TIMEOUT)
    return bazel.read_actions(log)


def _runners(actions: Sequence[Mapping[str, Any]]) -> dict[str, set[str]]:
    """How Bazel ran them, by mnemonic."""
    runners: dict[str, set[str]] = {}
    for action in actions:
        runners.setdefault(action["mnemonic"], set()).add(action["runner"])
    return runners


def _check(runners: Mapping[str, set[str]], expected: str) -> None:
    """That Bazel ran every action that there is in the one way, but for those that stay here."""
    elsewhere = {name: ways for name, ways in runners.items() if name not in LOCAL}
    assert elsewhere == dict.fromkeys(_mnemonics() - LOCAL, {expected})
    assert not [way for name in LOCAL for way in runners[name] if "remote" in way]


def _outputs(workspace: Workspace, actions: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """All that they made, by path."""
    names = [name for action in actions for name in action["listedOutputs"]]
    return _files(workspace.directory, *(workspace.directory / name for name in names))


def _layouts(workspace: Workspace) -> dict[str, bytes]:
    """All that is in the layouts, by path."""
    return _files(workspace.output(""), *map(workspace.output, LAYOUTS))


def _files(root: pathlib.Path, *paths: pathlib.Path) -> dict[str, bytes]:
    """Files by their path from `root`, and those in directories; links followed."""
    found = (file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]))
    return {str(file.relative_to(root)): file.read_bytes() for file in found if not file.is_dir()}


def _differing(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> list[str]:
    """The files that only one has, or that are not the same in both."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _mnemonics() -> set[str]:
    """Those of all actions that the rules declare."""
    sources = [pathlib.Path(name) for name in os.environ["DISTRIBUTION"].split() if name.startswith("rules/")]
    return {name for source in sources for name in re.findall(r'\bmnemonic = "(\w+)"', source.read_text())}


def test_all_that_may_run_elsewhere_does_and_makes_the_same(local, remote, executor):
    assert local.runners.keys() == _mnemonics()
    assert not [way for ways in local.runners.values() for way in ways if "remote" in way]
    with executor.explained():
        actions = _build(remote, *executor.flags, "--remote_download_outputs=all", "//app:all", "//every:all", "//links:all")
    _check(_runners(actions), "remote")

    outputs = _outputs(remote, actions)
    assert MADE <= {pathlib.Path(name).name for name in outputs}
    assert _differing(outputs, local.outputs) == []


def test_by_an_interpreter_of_the_build_and_once_for_all_configurations(local, remote, executor):
    """Like that of rules_python, it goes there with each action. And Bazel fetches what is asked for alone."""
    toolchain, _ = remote.write_interpreter()
    flags = [*executor.flags, f"--extra_toolchains={toolchain}", "--experimental_output_paths=strip", "//every:all"]
    for mode, runner in (("fastbuild", "remote"), ("opt", "remote cache hit")):
        with executor.explained():
            actions = _build(remote, f"--compilation_mode={mode}", *flags)
        _check(_runners(actions), runner)
        interpreters = {action["commandArgs"][0] for action in actions if action["mnemonic"] == "SetcapLayer"}
        assert interpreters == {"interpreter/bin/python"}
        assert _differing(_layouts(remote), local.layouts) == []
