"""The guide docs/ko.md works as it is written: its layers are those of ko."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
import subprocess

import pages
import pytest

from support import layout as layouts
from support import require
from support.bazel import LAYOUTS, Workspace

PACKAGE = "cmd/agent"
# cap_net_admin, cap_perfmon and cap_bpf, permitted and effective (linux/capability.h).
XATTR = "0100000200100000" + "00000000" + "c0000000" + "00000000"
# Some names sort between "a" and "a/", because ko walks directories and does not sort whole paths.
KODATA = {"a/b": "1", "a.txt": "2", "a-b/c d": "3", "z": "4", "deep/" + "x" * 120: "5"}


@pytest.fixture(scope="module")
def ko(tmp_path_factory: pytest.TempPathFactory):
    """Returns a function from arguments to the diff_id of the layer that ko makes."""
    directory = tmp_path_factory.mktemp("go")
    source = pathlib.Path("tests/integration/kolayer/main.go").resolve()
    environment = {**os.environ, "GOCACHE": str(directory / "cache"), "GOTOOLCHAIN": "local", "HOME": str(directory)}
    build = [require.tool("go"), "build", "-o", str(directory / "kolayer"), str(source)]
    subprocess.run(build, check=True, cwd=directory, env=environment)

    def diff_id(*arguments: str) -> str:
        done = subprocess.run([str(directory / "kolayer"), *arguments], check=True, stdout=subprocess.PIPE)
        return "sha256:" + hashlib.sha256(done.stdout).hexdigest()

    return diff_id


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Returns a workspace with the code of the guide, and a program in C in place of one in Go."""
    made = Workspace(tmp_path_factory.mktemp("ko"))
    for part in pages.parse_page(pathlib.Path("docs/ko.md").read_text()):
        if isinstance(part, pages.File):
            made.write(part.path, part.text)
    build = made.directory / PACKAGE / "BUILD.bazel"
    starlark = build.read_text()
    for go, cc in {
        'load("@rules_go//go:def.bzl", "go_binary")': 'load("@rules_cc//cc:cc_binary.bzl", "cc_binary")',
        "go_binary(": "cc_binary(",
        'srcs = ["main.go"]': 'srcs = ["agent.c"]',
        'pure = "on"': 'linkopts = ["-static"]',
    }.items():
        assert starlark.count(go) == 1
        starlark = starlark.replace(go, cc)
    build.write_text(starlark)
    made.write(f"{PACKAGE}/agent.c", "int main(void) { return 0; }\n")
    for name, text in KODATA.items():
        made.write(f"{PACKAGE}/kodata/{name}", text)
    return made


def test_the_layers_are_those_of_ko(workspace, ko):
    workspace.run("build", LAYOUTS, f"//{PACKAGE}:image")
    config = layouts.config(workspace.output(f"{PACKAGE}/image"))
    assert config["config"]["Entrypoint"] == ["/ko-app/agent"]
    binary = workspace.output(f"{PACKAGE}/agent")
    kodata = workspace.directory / PACKAGE / "kodata"
    assert config["rootfs"]["diff_ids"] == [ko("kodata", str(kodata), "0"), ko("binary", str(binary), "agent", XATTR)]


def test_a_layer_without_capabilities_and_with_an_mtime_is_that_of_ko(workspace, ko):
    build = workspace.directory / PACKAGE / "BUILD.bazel"
    text = build.read_text()
    before = '    directories = ["/var/run/ko"],\n'
    assert before in text
    text = text.replace(before, before + "    mtime = 1700000000,\n")
    build.write_text(text.replace('    linux_capabilities_from = ":capabilities",\n', ""))
    try:
        workspace.run("build", LAYOUTS, f"//{PACKAGE}:image")
    finally:
        build.write_text(text)
    diff_ids = layouts.config(workspace.output(f"{PACKAGE}/image"))["rootfs"]["diff_ids"]
    kodata = workspace.directory / PACKAGE / "kodata"
    assert diff_ids == [
        ko("kodata", str(kodata), "1700000000"),
        ko("binary", str(workspace.output(f"{PACKAGE}/agent")), "agent", ""),
    ]


def test_a_disagreement_names_file_line_and_build(workspace):
    workspace.write(".ko.yaml", "builds:\n- id: agent\n  main: .\n  linux_capabilities: cap_chown=ep cap_kill=p\n")
    done = workspace.run("build", f"//{PACKAGE}:image", check=False)
    assert done.returncode == 1
    # The guide has this message.
    assert re.sub(r"\s+", " ", pathlib.Path("docs/ko.md").read_text()).count(_find_message(done.stderr)) == 1


def _find_message(stderr: str) -> str:
    (line,) = [line for line in stderr.splitlines() if line.startswith(f"//{PACKAGE}:capabilities: ")]
    return line
