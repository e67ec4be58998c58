"""A cache has every result for another machine, another platform, and a tool of which other parts have changed."""

from __future__ import annotations

import pathlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from support import bazel, http_cache, require
from support.bazel import Workspace

IMAGES = 30  # As in BUILD.tree.
MAPPING = ["--experimental_output_paths=strip", "--worker_sandboxing"]


@pytest.fixture(scope="module")
def directory() -> Iterator[pathlib.Path]:
    """Yields a directory that every user can search."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        pathlib.Path(temporary).chmod(0o755)
        yield pathlib.Path(temporary)


def _make_workspace(directory: pathlib.Path, *, user: int | None = None) -> Workspace:
    made = Workspace(directory, user=user)
    made.write("BUILD.bazel", (pathlib.Path("tests/remote/consumer") / "BUILD.tree").read_text())
    made.write("shared/settings", "a=1\n")
    return made


@pytest.fixture(scope="module")
def workspace(directory: pathlib.Path) -> Iterator[Workspace]:
    made = _make_workspace(directory / "here")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def cache(directory: pathlib.Path, workspace: Workspace) -> Iterator[http_cache.HttpCache]:
    """Yields an HTTP cache that has the results of all actions."""
    (directory / "cache").mkdir()
    with http_cache.serve(directory / "cache") as running:
        workspace.run("build", *running.flags, "//...")
        yield running


def _build(workspace: Workspace, *args: str) -> list[dict[str, Any]]:
    """Builds targets; returns the entries of the execution log for the actions of these rules that were not in a cache."""
    log = workspace.directory.parent / "log.json"
    workspace.run("build", f"--execution_log_json_file={log}", *args)
    return [action for action in bazel.read_actions(log) if not action["cacheHit"]]


def _count_mnemonics(actions: Sequence[dict[str, Any]]) -> Counter[str]:
    return Counter(action["mnemonic"] for action in actions)


def _read_descriptors(workspace: Workspace) -> dict[str, bytes]:
    """Returns the descriptors of all images, which have their digests, by name."""
    return {path.name: path.read_bytes() for path in workspace.output("").glob("*.descriptor.json")}


def test_another_machine_builds_nothing(workspace, cache, directory):
    """It has another user, directory, home, file mode creation mask and locale."""
    require.root()
    other = _make_workspace(directory / "another" / "place", user=12345)
    try:
        cache.reset()
        environment = {"LANG": "tr_TR.UTF-8", "LC_ALL": "C", "TZ": "Asia/Kathmandu"}
        other.run("build", *cache.flags, "//...", environment=environment, umask=0o077)
        assert (cache.misses, cache.hits > 5 * IMAGES) == (0, True)
        descriptors = _read_descriptors(other)
        assert len(descriptors) >= IMAGES
        assert descriptors == _read_descriptors(workspace)
    finally:
        other.stop()


def test_equal_content_for_two_platforms_is_packed_once(workspace, directory):
    # Two actions at the same time do not find each other's result.
    (ran,) = (
        action
        for action in _build(workspace, *MAPPING, "--jobs=1", f"--disk_cache={directory}/platforms", "//:index")
        if action["mnemonic"] == "SetcapLayer"
    )
    assert any(name.endswith("/shared.tar.gz") for name in ran["listedOutputs"])
    query = workspace.run("aquery", *MAPPING, "--output=text", "mnemonic(SetcapLayer, deps(//:index))").stdout
    assert query.count("Mnemonic: SetcapLayer") == 2


# Files of the rules, and the kinds of actions that run again when one of them changes.
CHANGES = {
    "delivery/destination.py": {"SetcapDestination", "SetcapPush"},
    "image_tests/expected_capabilities.py": {"SetcapImageTest"},
    "packer/assignments.py": {"SetcapLayer"},
    "validation/checks.py": {"SetcapCheck"},
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_change_of_a_tool_runs_only_what_uses_it(changed, workspace):
    """What it makes is the same as before, so no other action runs."""
    workspace.run("build", "//...")
    path = workspace.directory.parent / "rules_setcap/tools/rules_setcap" / changed
    text = path.read_text()
    try:
        path.write_text(text + "\n# Changed.\n")
        ran = _count_mnemonics(_build(workspace, "//..."))
        print(f"{changed}: {dict(ran)}")
        assert set(ran) <= CHANGES[changed] and sum(ran.values()) >= IMAGES
    finally:
        path.write_text(text)
