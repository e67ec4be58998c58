"""Makes the pages of docs/reference: one for each public .bzl file, one for the build flags, and the index.

The sources are the docstrings of rules/*.bzl, the comments of rules/BUILD.bazel, and the titles of the JSON Schemas.
"""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING

import build_files
import rendering
from extracts import Message, get_field, parse_message

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND = "./bazelw run //tests/reference:update"
DIRECTORY = pathlib.Path("docs/reference")

_EXTRACTS = pathlib.Path("tests/reference")
_RULES = pathlib.Path("rules")
_SCHEMAS = DIRECTORY / "schemas"
_HEAD = "<!-- Generated from {}. To update it, run: " + COMMAND + " -->\n\n"

# The rules of build settings, with the type of their values.
_FLAG_RULES = {"bool_flag": "Boolean", "label_flag": "Label", "threads": "Integer"}


def make_pages() -> dict[str, str]:
    """Returns all pages by name."""
    modules = {path.stem: _read_module(path.stem) for path in sorted(_RULES.glob("*.bzl"))}
    pages = {f"{name}.md": _make_module_page(name, module) for name, module in modules.items()}
    pages["flags.md"] = _make_flags_page()
    pages["README.md"] = _make_index(modules)
    return pages


def _read_module(name: str) -> Message:
    """Returns the ModuleInfo of a public file, with rules in place of the macros that wrap them.

    Args:
      name: the name of the file, without its extension.
    """
    module = parse_message((_EXTRACTS / f"{name}.textproto").read_text())
    functions = module.pop("func_info", [])
    for function in functions:
        if any(get_field(parameter, "name") == "kwargs" for parameter in function.get("parameter", [])):
            module.setdefault("rule_info", []).append(_read_wrapped_rule(get_field(function, "function_name")))
        else:
            module.setdefault("func_info", []).append(function)
    return module


def _read_wrapped_rule(name: str) -> Message:
    """Returns the RuleInfo of the rule that a macro of the same name wraps."""
    module = parse_message((_EXTRACTS / f"{name}_rule.textproto").read_text())
    (rule,) = (rule for rule in module["rule_info"] if get_field(rule, "rule_name") == name)
    return rule


def _render_rule(rule: Message) -> str:
    """Returns the section of a rule, with links to the providers."""
    return rendering.render_rule(rule, "providers.md")


# The kinds of symbols, in the order of a page: the field of ModuleInfo, the field with the name, and the function that renders.
_KINDS: dict[str, tuple[str, Callable[[Message], str]]] = {
    "rule_info": ("rule_name", _render_rule),
    "func_info": ("function_name", rendering.render_function),
    "module_extension_info": ("extension_name", rendering.render_extension),
    "provider_info": ("provider_name", rendering.render_provider),
}


def list_symbols(module: Message) -> list[str]:
    """Returns the names of the public symbols of a module."""
    return [get_field(symbol, field) for kind, (field, _) in _KINDS.items() for symbol in module.get(kind, [])]


def _make_module_page(name: str, module: Message) -> str:
    """Returns the page of a public .bzl file."""
    page = _HEAD.format(f"rules/{name}.bzl") + f"# {name}.bzl\n\n{get_field(module, 'module_docstring')}\n"
    for kind, (_, render) in _KINDS.items():
        for symbol in module.get(kind, []):
            page += "\n" + render(symbol)
    if name == "toolchains":
        page += "\n" + _render_toolchain_types()
    return page


def _render_toolchain_types() -> str:
    """Returns the section of the toolchain types."""
    targets = build_files.read_targets((_RULES / "BUILD.bazel").read_text(), {"toolchain_type"})
    rows = [[f"`@rules_setcap//rules:{target.attributes['name']}`", target.comment] for target in targets]
    return "## Toolchain types\n\n" + rendering.render_table(["type", ""], rows)


def _make_flags_page() -> str:
    """Returns the page of the build flags."""
    page = _HEAD.format("rules/BUILD.bazel") + "# Build flags\n\n"
    page += "Flags are for the command line or `.bazelrc`, for instance `build --@rules_setcap//rules:threads=8`.\n"
    for target in build_files.read_targets((_RULES / "BUILD.bazel").read_text(), set(_FLAG_RULES)):
        name, default = target.attributes["name"], target.attributes["build_setting_default"]
        page += f"\n## {name}\n\n*{_FLAG_RULES[target.rule]}. Default:* `{default}`\n\n{target.comment}\n"
    return page


def _make_index(modules: dict[str, Message]) -> str:
    """Returns the index: the symbols of all modules, the build flags and the JSON Schemas."""
    page = _HEAD.format("rules/*.bzl") + "# Reference\n\n"
    page += "Every rule also has the [attributes that all rules have](https://bazel.build/reference/be/common-definitions), "
    page += "such as `visibility` and `tags`.\n\n"
    rows = []
    for name, module in modules.items():
        links = ", ".join(f"[`{symbol}`]({name}.md#{symbol.lower()})" for symbol in list_symbols(module))
        summary = get_field(module, "module_docstring").partition("\n\n")[0]
        rows.append([f"[{name}.bzl]({name}.md)", links, summary])
    page += rendering.render_table(["file", "symbols", ""], rows)
    page += "\n[Build flags](flags.md) set the number of threads, the library that compresses, and how layers of a base are fetched.\n\n## JSON\n\n"
    page += "The JSON that the rules and programs write is described by JSON Schemas (draft 2020-12).\n\n"
    rows = []
    for path in sorted(_SCHEMAS.glob("*.json")):
        schema = json.loads(path.read_text())
        rows.append([f"[{path.name}](schemas/{path.name})", schema["title"]])
    return page + rendering.render_table(["schema", "of"], rows)
