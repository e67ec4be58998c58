"""MODULE.bazel has the version of rules_setcap and of its dependencies; all other files agree with it."""

from __future__ import annotations

import ast
import json
import pathlib
import re
import subprocess

# The source tree, which is not an input of the test.
ROOT = pathlib.Path("pyproject.toml").resolve().parent


def _read_calls(text: str) -> list[tuple[str, dict[str, object]]]:
    """Returns the name and the constant arguments of each call in Starlark code."""
    calls = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            arguments = {}
            for keyword in node.keywords:
                try:
                    arguments[str(keyword.arg)] = ast.literal_eval(keyword.value)
                except ValueError:
                    arguments[str(keyword.arg)] = ast.unparse(keyword.value)
            calls.append((node.func.id, arguments))
    return calls


def _read_file(path: str) -> str:
    return (ROOT / path).read_text()


def _list_files(*patterns: str) -> list[str]:
    """Returns the paths of the files that Git has, and that match a pattern."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [path for path in listed if path and (ROOT / path).exists()]


MODULE = _read_calls(_read_file("MODULE.bazel"))
VERSION = next(str(arguments["version"]) for name, arguments in MODULE if name == "module")
DEPENDENCIES = {str(arguments["name"]): arguments for name, arguments in MODULE if name == "bazel_dep"}


def test_every_file_names_this_version():
    for path in _list_files("*.bazel", "*.bzl", "*.consumer", "*.md"):
        versions = re.findall(r'bazel_dep\(name = "rules_setcap", version = "(.*?)"', _read_file(path))
        assert set(versions) <= {VERSION}, path


def test_the_newest_section_of_the_changelog_is_this_version():
    assert re.findall(r"^## (\S+)", _read_file("CHANGELOG.md"), re.MULTILINE)[0] == VERSION


def test_the_tools_have_the_version_once():
    versions = []
    for path in _list_files("tools/rules_setcap/*.py", "tools/getcap/*"):
        versions += re.findall(r'^_*VERSION_* *(?:: *\w+ *)?= *"(\d.*?)"', _read_file(path), re.MULTILINE | re.IGNORECASE)
    assert versions == [VERSION]


def test_workspace_files_get_the_same_dependencies():
    archives = [arguments for name, arguments in _read_calls(_read_file("rules/repositories.bzl")) if name == "maybe"]
    expected = {name: arguments["version"] for name, arguments in DEPENDENCIES.items() if "dev_dependency" not in arguments}
    assert {str(arguments["name"]) for arguments in archives} == expected.keys()
    for arguments in archives:
        assert f"/{expected[str(arguments['name'])]}/" in str(arguments["urls"])


def test_smoke_uses_the_same_dependencies():
    for name, arguments in _read_calls(_read_file("e2e/smoke/MODULE.bazel")):
        if name == "bazel_dep" and arguments["name"] != "rules_setcap":
            assert arguments["version"] == DEPENDENCIES[str(arguments["name"])]["version"]


def test_workspaces_use_one_version_of_each_module():
    versions: dict[str, set[str]] = {}
    for path in _list_files("e2e/*/MODULE.bazel"):
        if path == "e2e/smoke/MODULE.bazel":
            continue
        for name, arguments in _read_calls(_read_file(path)):
            if name == "bazel_dep":
                versions.setdefault(str(arguments["name"]), set()).add(str(arguments["version"]))
    assert "rules_cc" in versions
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_the_table_of_workspaces_names_their_versions():
    """A build by hand is of one version. If it changes, the workspace is built again, and the table says so."""
    table = _read_file("e2e/README.md")
    for path in _list_files("e2e/*/MODULE.bazel"):
        for name, arguments in _read_calls(_read_file(path)):
            if name == "bazel_dep" and arguments["name"] not in ("platforms", "rules_setcap") and "smoke" not in path:
                assert f"{arguments['name']} {arguments['version']}" in table, path


def test_the_workspace_file_is_that_of_the_documentation():
    document = ast.get_docstring(ast.parse(_read_file("rules/repositories.bzl")))
    shown = re.findall(r"```(?:starlark|python)\n(.*?)```", document or "", re.DOTALL)
    assert len(shown) == 2
    assert _read_file("e2e/workspace/WORKSPACE").endswith("\n" + "\n".join(shown))


def test_smoke_has_the_first_example_of_the_readme():
    example = re.search(r"```starlark\n(.*?)```", _read_file("README.md"), re.DOTALL)
    assert example
    targets = {arguments.get("name"): (name, arguments) for name, arguments in _read_calls(_read_file("e2e/smoke/BUILD.bazel"))}
    for name, arguments in _read_calls(example[1]):
        if name == "load":
            continue
        copied_name, copy = targets[arguments["name"]]
        copy = {key: value for key, value in copy.items() if key != "target_compatible_with"}
        assert (copied_name, copy) == (name, arguments), "copy the first example of README.md to e2e/smoke/BUILD.bazel"


def test_buildifier_is_the_same_everywhere():
    versions = {
        path: re.findall(r"@bazel/buildifier@([0-9.]+)", _read_file(path)) for path in (".ci/run", ".pre-commit-config.yaml")
    }
    assert versions[".ci/run"] == versions[".pre-commit-config.yaml"] != []


def test_the_registry_and_the_workflow_test_the_versions_that_the_module_allows():
    (module,) = (arguments for name, arguments in MODULE if name == "module")
    assert module["bazel_compatibility"] == [">=7.1.0"]
    for path in (".bcr/presubmit.yml", ".github/workflows/ci.yaml"):
        assert "bazel: [7.x, 8.x, 9.x]\n" in _read_file(path)
    assert "Bazel | 7.1 and later, 8, 9 |" in _read_file("docs/compatibility.md")


def test_the_templates_of_the_registry_are_json():
    for path in _list_files(".bcr/*.json", "renovate.json"):
        json.loads(_read_file(path))
