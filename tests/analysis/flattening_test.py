"""Rules flatten a depset during analysis only if it has few files: never the files or the runfiles of a program."""

from __future__ import annotations

import ast
import pathlib

RULES = pathlib.Path("rules/private")
# The functions that call to_list(), and what it returns there.
FLATTENING = {
    "entries.bzl:_write_runfiles": "the runfiles, when an action runs",
    "entries.bzl:list_program": "links among the runfiles, which few programs have",
    "gzip_library.bzl:_gzip_library_impl": "the files of a library, for one target",
    "input_images.bzl:find_image": "the files of an image of another ruleset",
    "kubernetes_manifests.bzl:_declare_manifests": "manifests",
    "launcher.bzl:_python_command_impl": "the modules of a program of this repository",
    "layer.bzl:_list_srcs": "the file of a path",
}


def test_only_these_functions_flatten_a_depset():
    calls = {
        f"{path.name}:{function.name}"
        for path in RULES.glob("*.bzl")
        for function in ast.parse(path.read_text()).body
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr == "to_list"
    }
    assert calls == set(FLATTENING)


def test_runfiles_are_listed_only_for_args():
    module = ast.parse((RULES / "entries.bzl").read_text())
    (list_program,) = (node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == "list_program")
    (write_program,) = (node for node in list_program.body if isinstance(node, ast.FunctionDef))
    callers = {
        node.name
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(child, ast.Call) and ast.unparse(child.func) == "_write_runfiles" for child in ast.walk(node))
    }
    assert callers == {"list_program", write_program.name}
    assert any(
        keyword.arg == "map_each" and ast.unparse(keyword.value) == write_program.name for keyword in _list_keywords(list_program)
    )


def _list_keywords(function: ast.FunctionDef) -> list[ast.keyword]:
    return [keyword for node in ast.walk(function) if isinstance(node, ast.Call) for keyword in node.keywords]
