"""Writes the documentation of Starlark files as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extracts import Message, get_field

if TYPE_CHECKING:
    from collections.abc import Iterable

# Types of attributes, by their names in stardoc_output.proto.
_TYPES = {
    "BOOLEAN": "Boolean",
    "INT": "Integer",
    "LABEL": "Label",
    "LABEL_DICT_UNARY": "Dictionary of strings to labels",
    "LABEL_LIST": "List of labels",
    "NAME": "Name",
    "STRING": "String",
    "STRING_DICT": "Dictionary of strings to strings",
    "STRING_LIST": "List of strings",
    "STRING_LIST_DICT": "Dictionary of strings to lists of strings",
}


def render_rule(rule: Message, providers_page: str) -> str:
    """Returns the section of a rule.

    Args:
      rule: a RuleInfo.
      providers_page: the name of the page that has the providers.
    """
    name = get_field(rule, "rule_name")
    attributes = sorted(rule["attribute"], key=_get_order)
    arguments = [_render_argument(attribute) for attribute in attributes]
    parts = [f"## {name}", _render_call(name, arguments), get_field(rule, "doc_string")]
    providers = [name for group in rule.get("advertised_providers", []) for name in group["provider_name"]]
    if providers:
        links = ", ".join(f"[`{provider}`]({providers_page}#{provider.lower()})" for provider in providers)
        parts.append(f"Provider: {links}.")
    for attribute in attributes:
        if get_field(attribute, "name") != "name":
            parts += [
                f'<a id="{name}-{get_field(attribute, "name")}"></a>\n\n### {get_field(attribute, "name")}',
                _render_type(attribute),
                get_field(attribute, "doc_string"),
            ]
    return "\n\n".join(parts) + "\n"


def _get_order(attribute: Message) -> tuple[bool, bool, str]:
    """Returns the sort key of an attribute: the name first, then the others that must be set."""
    name = get_field(attribute, "name")
    return name != "name", not _is_mandatory(attribute), name


def _is_mandatory(attribute: Message) -> bool:
    """Returns whether an attribute or a parameter must be set."""
    return get_field(attribute, "mandatory") == "true"


def _render_argument(attribute: Message) -> str:
    """Returns an attribute or a parameter, with its default, as in a definition."""
    default = get_field(attribute, "default_value")
    return get_field(attribute, "name") + (f" = {default}" if default and not _is_mandatory(attribute) else "")


def _render_call(name: str, arguments: Iterable[str]) -> str:
    """Returns a block with the definition of a rule or a function."""
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return "```starlark\n" + (f"{name}(\n{lines})" if lines else f"{name}()") + "\n```"


def _render_type(attribute: Message) -> str:
    """Returns the sentence about the type and the default of an attribute."""
    value_type = _TYPES[get_field(attribute, "type")]
    if _is_mandatory(attribute):
        return f"*{value_type}, mandatory.*"
    return f"*{value_type}. Default:* `{get_field(attribute, 'default_value')}`"


def render_extension(extension: Message) -> str:
    """Returns the section of a module extension, with the classes of its tags.

    Args:
      extension: a ModuleExtensionInfo.
    """
    name = get_field(extension, "extension_name")
    parts = [f"## {name}", get_field(extension, "doc_string")]
    for tag in sorted(extension["tag_class"], key=lambda tag: get_field(tag, "tag_name") != "pull"):
        tag_name = get_field(tag, "tag_name")
        attributes = sorted(tag["attribute"], key=_get_order)
        parts += [
            f'<a id="{name}-{tag_name}"></a>\n\n### {name}.{tag_name}',
            _render_call(f"{name}.{tag_name}", map(_render_argument, attributes)),
            get_field(tag, "doc_string"),
            render_table(
                ["attribute", ""],
                [
                    [f"`{get_field(each, 'name')}`", f"{_render_type(each)} {get_field(each, 'doc_string')}"]
                    for each in attributes
                ],
            ).rstrip("\n"),
        ]
    return "\n\n".join(parts) + "\n"


def render_function(function: Message) -> str:
    """Returns the section of a function or a macro.

    Args:
      function: a StarlarkFunctionInfo.
    """
    name = get_field(function, "function_name")
    parameters = function.get("parameter", [])
    parts = [f"## {name}", _render_call(name, map(_render_argument, parameters)), get_field(function, "doc_string")]
    for parameter in parameters:
        parts += [f"### {get_field(parameter, 'name')}", get_field(parameter, "doc_string")]
    return "\n\n".join(parts) + "\n"


def render_provider(provider: Message) -> str:
    """Returns the section of a provider.

    Args:
      provider: a ProviderInfo.
    """
    heading = f"## {get_field(provider, 'provider_name')}"
    rows = [[f"`{get_field(field, 'name')}`", get_field(field, "doc_string")] for field in provider["field_info"]]
    return "\n\n".join([heading, get_field(provider, "doc_string"), render_table(["field", ""], rows)])


def render_table(heading: list[str], rows: Iterable[list[str]]) -> str:
    """Returns a table. Line breaks in cells become spaces."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |\n" for line in lines)
