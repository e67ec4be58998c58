"""Imports among the modules below tools/rules_setcap only point down: from room to room, and from module to module."""

from __future__ import annotations

import ast
import pathlib
from graphlib import CycleError, TopologicalSorter

TOOLS = pathlib.Path("tools")
# The lowest first. A room imports itself and the rooms before it.
ROOMS = (
    "diagnostics",
    "actions",
    "executables",
    "capabilities",
    "archive",
    "oci",
    "validation",
    "packer",
    "documents",
    "containers",
    "ko",
    "diff",
    "bases",
    "delivery",
    "getcap",
    "image_tests",
    "reproduce",
    "imagecap",
)
# Programs: no other room may import from these, in whichever order they stand.
PROGRAMS = ("packer", "validation", "delivery", "ko", "bases", "getcap", "image_tests", "reproduce", "imagecap")
# The program that gathers the commands of others, and the programs whose parts it takes.
GATHERING = {"imagecap": ("getcap", "packer")}
# The modules that are the command line of a room. No other room may import these, not even the one that gathers commands.
COMMAND_LINES = ("__main__", "cli", "commands")


def _modules() -> dict[str, pathlib.Path]:
    """Returns the path of each module by its name."""
    return {_name(path): path for path in sorted(TOOLS.glob("rules_setcap/**/*.py"))}


def _name(path: pathlib.Path) -> str:
    parts = path.relative_to(TOOLS).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: pathlib.Path, modules: dict[str, pathlib.Path]) -> set[str]:
    """Returns the names of our modules that a module imports, also within functions."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                imported.add(member if member in modules else str(node.module))
    return imported & modules.keys()


def _room(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


def _graph() -> dict[str, set[str]]:
    modules = _modules()
    return {name: _imports(path, modules) for name, path in modules.items()}


def test_every_room_has_a_place():
    rooms = {_room(module) for module in _modules()} - {""}
    assert rooms <= set(ROOMS), rooms - set(ROOMS)


def test_imports_point_down():
    upward = [
        f"{module} imports {other}"
        for module, imported in _graph().items()
        for other in sorted(imported)
        if _room(other) and ROOMS.index(_room(other)) > ROOMS.index(_room(module))
    ]
    assert not upward, "\n".join(upward)


def test_only_imagecap_imports_parts_of_other_programs():
    sideways = [
        f"{module} imports {other}"
        for module, imported in _graph().items()
        for other in sorted(imported)
        if _room(other) in PROGRAMS and _room(other) not in (_room(module), *GATHERING.get(_room(module), ()))
    ]
    assert not sideways, "\n".join(sideways)


def test_nothing_imports_a_command_line():
    command_lines = [
        f"{module} imports {other}"
        for module, imported in _graph().items()
        for other in sorted(imported)
        if _room(other) != _room(module) and set(other.split(".")[2:3]) & set(COMMAND_LINES)
    ]
    assert not command_lines, "\n".join(command_lines)


def test_no_module_imports_itself_by_way_of_others():
    cycles = []
    graph = _graph()
    while True:
        try:
            tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            cycle = error.args[1]
            cycles.append(" <- ".join(cycle))
            graph[cycle[1]] = graph[cycle[1]] - {cycle[0]}
        else:
            break
    assert not cycles, "\n".join(cycles)


def test_no_module_is_long():
    long = {str(path): count for path in _modules().values() if (count := path.read_text().count("\n")) > 400}
    assert not long
