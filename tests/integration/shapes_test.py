"""Programs of every shape find their runfiles in the image. They are built with Bazel's default flags."""

from __future__ import annotations

import pathlib
import re

import pytest

from support import interpreter
from support.bazel import LAYOUTS, Workspace
from support.container import Bundle

CONSUMER = pathlib.Path("tests/integration/consumer")

_OTHER = """\
load("@rules_python//python:py_library.bzl", "py_library")

exports_files(["data.txt"])

py_library(
    name = "assets",
    srcs = ["assets/below/module.py"],
    imports = ["."],
    visibility = ["//visibility:public"],
)
"""

_MODULE = """
bazel_dep(name = "other", version = "")
bazel_dep(name = "rules_python", version = "1.7.0")
local_path_override(module_name = "other", path = "other")
"""

_WORKSPACE = """
local_repository(name = "other", path = "other")
"""


def _write_shapes(workspace: Workspace, module: bool) -> None:
    """Writes //shapes, and the repository "other"."""
    names = {"PYTHON_NAME": interpreter.LIBRARY.name, "WORKSPACE_NAME": "_main" if module else "consumer"}
    build = re.sub("|".join(names), lambda found: names[found[0]], (CONSUMER / "BUILD.shapes").read_text())
    workspace.write("shapes/BUILD.bazel", build)
    for name in ("data.c", "hello.c", "linked.c", "links.bzl", "py.py"):
        workspace.write(f"shapes/{name}", (CONSUMER / name).read_text())
    workspace.write("shapes/data.txt", "data\n")
    workspace.write("other/MODULE.bazel", 'module(name = "other")\nbazel_dep(name = "rules_python", version = "1.7.0")\n')
    workspace.write("other/WORKSPACE.bazel", 'workspace(name = "other")\n')
    workspace.write("other/BUILD.bazel", _OTHER)
    workspace.write("other/assets/below/module.py", "VALUE = 7\n")
    workspace.write("other/data.txt", "data of another repository\n")
    name, more = ("MODULE.bazel", _MODULE) if module else ("WORKSPACE.bazel", _WORKSPACE)
    workspace.write(name, (workspace.directory / name).read_text() + more)
    interpreter.copy_python(workspace.directory / "shapes/system")


def _expect_output(shape: str, program: str, module: bool) -> str:
    """Returns what the program of a shape prints."""
    main, other = ("_main", "other~") if module else ("consumer", "other")
    runfiles, modules = f"{program}.runfiles", f"{program}.runfiles/{main}/shapes/node_modules/.pnpm"
    return {
        "cc": "data\ndata of another repository\n",
        "linked": f"{runfiles}/{main}/shapes/linked.venv/bin/python3.14 is {runfiles}/{main}/shapes/interpreter\n"
        f"foo: {modules}/foo@1/node_modules/foo/name: foo\n"
        f"bar: {modules}/bar@1/node_modules/bar/name: bar\n",
        "py": f"{runfiles}/{other}/assets/__init__.py\n7 data\n",
        "static": "",
    }[shape]


@pytest.mark.parametrize("module", [True, False], ids=["MODULE", "WORKSPACE"])
def test_programs_start_and_find_what_they_need(tmp_path, module):
    workspace = Workspace(tmp_path, module=module)
    _write_shapes(workspace, module)
    try:
        workspace.run("build", LAYOUTS, "//shapes:all")
        together = _bundle(workspace, "all_image", tmp_path)
        for shape in ("cc", "linked", "py", "static"):
            alone = _bundle(workspace, f"{shape}_image", tmp_path)
            assert alone.run(bounding=[], uid=0) == (0, _expect_output(shape, f"/app/{shape}", module))
            program = f"/opt/{shape}"
            assert together.run(bounding=[], uid=0, args=[program]) == (0, _expect_output(shape, program, module))

        # The interpreter of a virtual environment is an unresolved symlink.
        workspace.run("build", LAYOUTS, "--@rules_python//python/config_settings:bootstrap_impl=script", "//shapes:py_image")
        venv = _bundle(workspace, "py_image", tmp_path / "venv")
        assert [path for path in (venv.rootfs / "app").rglob("bin/python3") if path.is_symlink()]
        assert venv.run(bounding=[], uid=0) == (0, _expect_output("py", "/app/py", module))

        workspace.run("build", LAYOUTS, "--build_python_zip", "//shapes:py_image")
        zipped = _bundle(workspace, "py_image", tmp_path / "zip")
        status, output = zipped.run(bounding=[], uid=0)
        assert (status, output.splitlines()[1:]) == (0, ["7 data"]), output
        assert re.fullmatch(r"/tmp/\S+/runfiles/other~?/assets/__init__.py", output.splitlines()[0])
    finally:
        workspace.stop()


def _bundle(workspace: Workspace, image: str, directory: pathlib.Path) -> Bundle:
    place = directory / image
    place.mkdir(parents=True)
    return Bundle(workspace.output(f"shapes/{image}"), place)
