"""Commands really run in the surroundings that were asked for."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

from rules_setcap.reproduce.host import Host
from rules_setcap.reproduce.surroundings import Surroundings
from rules_setcap.reproduce.variations import VARIATIONS, vary
from support import require


@pytest.fixture
def surroundings(tmp_path: pathlib.Path) -> Surroundings:
    (tmp_path / "workspace").mkdir()
    return Surroundings(str(tmp_path), str(tmp_path / "base"), str(tmp_path / "workspace"))


def _run(surroundings: Surroundings, script: str) -> str:
    line = surroundings.wrap_command(["sh", "-c", script])
    return subprocess.run(line, env=surroundings.make_environment(), capture_output=True, text=True, check=True).stdout.strip()


def test_the_umask_the_cpus_and_the_environment_are_set(surroundings):
    require.tool("taskset")
    surroundings.umask = 0o027
    surroundings.cpus = {min(os.sched_getaffinity(0))}
    surroundings.environment["NAME"] = "value of it"
    assert _run(surroundings, "umask; nproc; echo $NAME; pwd").split("\n") == ["0027", "1", "value of it", surroundings.workspace]


def test_arguments_stay_as_they_are(surroundings):
    line = surroundings.wrap_command(["printf", "%s|", "a b", "$HOME", "'", "\n"])
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == "a b|$HOME|'|\n|"


def test_mounts_and_the_host_name_are_those_of_namespaces(surroundings, tmp_path):
    host = Host("bazel")
    if host.mount_fault or host.uts_fault:
        require.missing(f"namespaces: {host.mount_fault or host.uts_fault}")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "it's").write_text("text")
    (tmp_path / "target").mkdir()
    surroundings.mounts = [(str(tmp_path / "source"), str(tmp_path / "target"))]
    surroundings.workspace = str(tmp_path / "target")
    surroundings.hostname = "another-host"
    assert _run(surroundings, "uname -n; ls; id -u").split("\n") == ["another-host", "it's", str(os.geteuid())]
    assert os.uname().nodename != "another-host"
    assert not os.listdir(tmp_path / "target")


def test_another_user_runs_the_command(surroundings, tmp_path):
    require.root()
    surroundings.user = 12345
    surroundings.workspace = "/"
    assert _run(surroundings, "id -u; id -g; id -G").split("\n") == ["12345"] * 3


def test_each_variation_can_be_kept(surroundings, tmp_path):
    names = [each.name for each in VARIATIONS]
    assert len(set(names)) == len(names)
    for name in names:
        pair = [Surroundings(str(tmp_path / name / each), str(tmp_path / name / "base"), surroundings.workspace) for each in "12"]
        for each in pair:
            os.makedirs(each.directory)
        before = [Surroundings(each.directory, each.output_base, each.workspace) for each in pair]
        varied, not_varied = vary(*pair, Host("true"), [other for other in names if other != name])
        assert len(varied) + len(not_varied) == len(names)
        assert [each.name for each in varied] in ([name], [])
        assert (pair != before) == bool(varied), name


def test_nothing_changes_if_all_is_kept(surroundings):
    other = Surroundings(surroundings.directory, surroundings.output_base, surroundings.workspace)
    varied, not_varied = vary(surroundings, other, Host("true"), [each.name for each in VARIATIONS])
    assert (varied, len(not_varied)) == ([], len(VARIATIONS))
    assert surroundings == other
