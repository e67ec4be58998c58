from __future__ import annotations

import os
import pathlib

import pytest

from rules_setcap.reproduce.workspace_copies import copy_workspace, find_unreadable, list_mounts


@pytest.fixture
def workspace(tmp_path: pathlib.Path) -> pathlib.Path:
    """Returns a workspace with two neighbours."""
    path = tmp_path / "a" / "b" / "workspace"
    (path / "app").mkdir(parents=True)
    (tmp_path / "a" / "near").mkdir()
    (tmp_path / "far").mkdir()
    (path / "app" / "file").write_text("text")
    return path


def _relocate(workspace: pathlib.Path, module: str, target: pathlib.Path) -> pathlib.Path:
    (workspace / "MODULE.bazel").write_text(module)
    path, pairs = list_mounts(str(workspace), str(target))
    copy_workspace(pairs)
    return pathlib.Path(path)


@pytest.mark.parametrize("reference", ["../../near", "../../../far", "..", "../..", "../../../a/near"])
def test_what_a_workspace_names_outside_itself_is_the_same_at_another_path(reference, workspace, tmp_path):
    copy = _relocate(workspace, f'local_path_override(path = "{reference}")\n', tmp_path / "other")
    assert copy != workspace
    assert (copy / "app" / "file").read_text() == "text"
    assert sorted(os.listdir(copy / reference)) == sorted(os.listdir(workspace / reference))
    assert str((copy / reference).absolute()) != str((workspace / reference).absolute())


def test_paths_that_do_not_leave_the_workspace_are_not_looked_at(workspace, tmp_path):
    (workspace / "MODULE.bazel").write_text('path = "app/../app"; path = "...", path = "../missing"\n')
    path, pairs = list_mounts(str(workspace), str(tmp_path / "other"))
    assert pairs == [(str(workspace), path)]


def test_the_links_of_bazel_are_not_copied(workspace, tmp_path):
    (workspace / "bazel-bin").symlink_to("/nowhere")
    (workspace / "bazel-directory").mkdir()
    copy = _relocate(workspace, "", tmp_path / "other")
    assert sorted(path.name for path in copy.iterdir()) == ["MODULE.bazel", "app", "bazel-directory"]


def test_files_that_others_may_not_read_are_found(workspace, tmp_path):
    os.chmod(workspace / "app" / "file", 0o644)
    for path in (workspace, workspace / "app"):
        os.chmod(path, 0o755)
    assert find_unreadable([(str(workspace), "x")]) == ""
    os.chmod(workspace / "app" / "file", 0o640)
    assert find_unreadable([(str(workspace), "x")]) == str(workspace / "app" / "file")
    os.chmod(workspace / "app", 0o750)
    assert find_unreadable([(str(workspace), "x")]) == str(workspace / "app")
