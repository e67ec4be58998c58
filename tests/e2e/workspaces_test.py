"""The workspaces of e2e build, and their tests pass, with Bazel's default flags and with those that later versions of Bazel set."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import pytest
import workspaces

# Flags that Bazel 8 and 9 set, or whose behavior they have.
LATER = ["--incompatible_autoload_externally=", "--incompatible_use_plus_in_repo_names"]
# With WORKSPACE files, the repository of Bazel's own tools uses the native rules.
MODULES_ONLY = ["--incompatible_disable_native_repo_rules"]
PATH_MAPPING = ["--experimental_output_paths=strip", "--worker_sandboxing"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="module", params=workspaces.NAMES)
def workspace(request: pytest.FixtureRequest, directory: pathlib.Path) -> Iterator[workspaces.Workspace]:
    made = workspaces.Workspace(request.param, directory)
    yield made
    made.stop()


def test_other_flags_and_path_mapping_make_the_same_images(workspace):
    images = workspace.test()
    assert images
    later = LATER if workspace.name == "workspace" else LATER + MODULES_ONLY
    assert workspace.test(*later, *PATH_MAPPING) == images


def test_every_workspace_is_in_the_table():
    rows = re.findall(r"^\| \[`?([\w.]+)`?\]", (workspaces.ROOT / "e2e/README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == workspaces.NAMES


def test_launchers_are_that_of_the_documentation():
    page = (workspaces.ROOT / "docs/languages.md").read_text()
    shown = re.search(r"^```c\n/\* server/launcher\.c \*/\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    launchers = {path.read_text() for path in workspaces.ROOT.glob("e2e/*/launcher.c")}
    assert shown
    assert launchers == {shown[1]}
