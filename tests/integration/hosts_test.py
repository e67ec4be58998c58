"""On a host without what only Linux has, every action and program makes the same bytes as on Linux."""

from __future__ import annotations

import ast
import hashlib
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Iterator

import pytest

from support import macos
from support import registry as registries
from support.bazel import LAYOUTS, Workspace

BUILD = """\
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

py_runtime(
    name = "runtime",
    files = ["macos.py"],
    interpreter = "python",
    python_version = "PY3",
    stub_shebang = "#!/usr/bin/env python3",
)

py_runtime_pair(name = "pair", py3_runtime = ":runtime")

toolchain(name = "toolchain", toolchain = ":pair", toolchain_type = "@rules_python//python:toolchain_type")
"""
SCRIPT = """\
#!/bin/sh
exec {python} -S -E -s -B -X utf8 "${{0%/*}}/macos.py" "$@"
"""
MAC = "--extra_toolchains=//mac:toolchain"
# Programs and their specifications, which have the path of the interpreter.
PROGRAMS = "load", "manifests", "push", "release", "test"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("workspace"))
    made.write_every()
    made.write(
        "MODULE.bazel", (made.directory / "MODULE.bazel").read_text() + 'bazel_dep(name = "rules_python", version = "1.7.0")\n'
    )
    made.write("mac/BUILD.bazel", BUILD)
    made.write("mac/python", SCRIPT.format(python=sys.executable))
    (made.directory / "mac/python").chmod(0o755)
    shutil.copy(macos.__file__, made.directory / "mac/macos.py")
    return made


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[registries.Registry]:
    with registries.serve(tmp_path_factory.mktemp("registry")) as served:
        yield served


def _hash_outputs(directory: pathlib.Path) -> dict[str, str]:
    """Returns the digests of all files by path, including those in layouts."""
    digests = {}
    for parent, directories, names in os.walk(directory, followlinks=True):
        directories[:] = [name for name in directories if not name.endswith(".runfiles")]
        for name in names:
            path = pathlib.Path(parent, name)
            is_program = name.partition(".")[0] in PROGRAMS and not name.endswith(".tar")
            if not is_program and not name.endswith((".params", "_manifest", ".repo_mapping")):
                digests[str(path.relative_to(directory))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests


def test_names_that_only_linux_has_are_known():
    """Each use has an alternative, which the tests below use."""
    names = macos.list_linux_names()
    assert "sched_getaffinity" in names["os"]
    used = set()
    for path in os.environ["DISTRIBUTION"].split():
        if path.endswith(".py"):
            for node in ast.walk(ast.parse(pathlib.Path(path).read_text())):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.attr in names.get(node.value.id, ())
                ):
                    used.add((path, f"{node.value.id}.{node.attr}"))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match("/(proc|sys)/[a-z]", node.value):
                    used.add((path, node.value))
    assert used == {
        ("tools/rules_setcap/diagnostics/programs.py", "/proc/self/io"),
        ("tools/rules_setcap/diagnostics/progress.py", "/proc/self/io"),
        ("tools/rules_setcap/imagecap/compression.py", "/proc/self/maps"),
        ("tools/rules_setcap/imagecap/writers.py", "os.copy_file_range"),
        ("tools/rules_setcap/oci/layer_blobs.py", "os.sched_getaffinity"),
        ("tools/rules_setcap/packer/layer_writer.py", "os.SEEK_DATA"),
        ("tools/rules_setcap/packer/layer_writer.py", "os.SEEK_HOLE"),
        ("tools/rules_setcap/reproduce/host.py", "os.sched_getaffinity"),
    }


@pytest.mark.parametrize("strategy", ["worker", "local"])
def test_every_action_makes_the_same_bytes(workspace, strategy):
    packing = [f"--strategy=Setcap{name}={strategy}" for name in ("Layer", "Tar", "Copy", "Image", "Unpack", "Export")]
    workspace.run("build", LAYOUTS, "//every:all")
    expected = _hash_outputs(workspace.output("every"))
    assert {"layer.tar.gz", "above_copied.tar.gz", "index/index.json", "load.tar"} <= set(expected)
    assert "mac/python" in workspace.run("aquery", MAC, "mnemonic(SetcapCopy, //every:above)").stdout
    workspace.run("build", LAYOUTS, MAC, "//every:all", *packing)
    assert _hash_outputs(workspace.output("every")) == expected
    workspace.run("test", MAC, "//every:test", "--test_output=errors")


def test_programs_that_users_run_work(workspace, registry, tmp_path):
    done = workspace.run("run", MAC, "//every:push", "--", "--repository", f"{registry.host}/app", "--tag", "v1")
    assert done.stdout.splitlines()[1:] == [f"{registry.host}/app:v1"]
    image = workspace.output("every/image")
    for arguments in ([image], ["explain", image, "--docker-run", "docker run app"]):
        done = workspace.run("run", MAC, "@rules_setcap//tools/getcap", "--", *map(str, arguments))
        assert "cap_net_bind_service" in done.stdout
    for way in ("--layer", "--rewrite"):
        changed = tmp_path / f"{way[2:]}.tar"
        arguments = ["set", way, "--strip", "--compression=zlib", "--format=oci-archive", str(image), str(changed)]
        workspace.run("run", MAC, "@rules_setcap//tools/imagecap", "--", *arguments)
        done = workspace.run("run", MAC, "@rules_setcap//tools/imagecap", "--", "get", str(changed))
        assert "cap_net_bind_service" not in done.stdout


def test_the_launcher_needs_no_readlink_of_gnu(workspace, tmp_path, monkeypatch):
    """Before macOS 12.3, readlink has no -f. Then the program works unless it is started through a link."""
    (tmp_path / "readlink").write_text("#!/bin/sh\necho 'readlink: illegal option -- f' >&2\nexit 1\n")
    (tmp_path / "readlink").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    done = workspace.run("run", "//every:load", "--", "--help")
    assert "bazel run //every:load" in done.stdout
