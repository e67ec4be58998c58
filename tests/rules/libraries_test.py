"""Every Starlark file has a bzl_library whose deps are the libraries of the files that it loads."""

from __future__ import annotations

import ast
import pathlib

import pytest

PACKAGES = [pathlib.Path("rules"), pathlib.Path("rules/private")]
# Files of other repositories, by the label of the target that has them.
OUTSIDE = {
    "@bazel_tools//tools/build_defs/repo:http.bzl": "@bazel_tools//tools:bzl_srcs",
    "@bazel_tools//tools/build_defs/repo:utils.bzl": "@bazel_tools//tools:bzl_srcs",
    "@rules_python//python:py_info.bzl": "@rules_python//python:py_info_bzl",
}


def _libraries(package: pathlib.Path) -> dict[str, list[str]]:
    """Returns the deps of each bzl_library of a package by the file that it has."""
    libraries = {}
    for node in ast.walk(ast.parse((package / "BUILD.bazel").read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "bzl_library":
            attributes = {word.arg: ast.literal_eval(word.value) for word in node.keywords}
            (source,) = attributes["srcs"]
            assert attributes["name"] == source.removesuffix(".bzl")
            libraries[source] = attributes.get("deps", [])
    return libraries


def _loaded_files(path: pathlib.Path) -> list[str]:
    """Returns the files that a Starlark file loads; its syntax is that of Python."""
    calls = [
        node.value for node in ast.parse(path.read_text()).body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    return [ast.literal_eval(call.args[0]) for call in calls if isinstance(call.func, ast.Name) and call.func.id == "load"]


def _label(package: pathlib.Path, loaded: str) -> str:
    """Returns the label of the library that has a loaded file, as the package writes it."""
    if loaded in OUTSIDE:
        return OUTSIDE[loaded]
    label = loaded.removesuffix(".bzl")
    return ":" + label.partition(":")[2] if label.startswith((":", f"//{package}:")) else label


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_every_file_has_a_library(package):
    assert sorted(_libraries(package)) == sorted(path.name for path in package.glob("*.bzl"))


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_the_deps_of_a_library_are_what_it_loads(package):
    for name, deps in _libraries(package).items():
        assert sorted(deps) == sorted({_label(package, file) for file in _loaded_files(package / name)}), name
