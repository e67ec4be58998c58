"""Messages about files that are not YAML, with the probable cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.documents.json_text import has_several_values
from rules_setcap.documents.yaml_loader import decode_text

if TYPE_CHECKING:
    import yaml

TEMPLATE = "; if this is a template, render it first, for instance with helm template"
"""The end of a message about a text that a template has."""

_BYTE_ORDER_MARK = "\ufeff"


def describe_syntax_error(error: yaml.YAMLError, file: str, data: bytes) -> str:
    """Returns one line for a message of PyYAML, which has several.

    Args:
      error: the error.
      file: the name of the file, for messages.
      data: the bytes of the file, which are UTF-8.
    """
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).partition("\n")[0]
    line = f":{mark.line + 1}" if mark else ""
    return f"{file}{line}: invalid YAML: {what}{_find_cause(decode_text(data), mark.line if mark else 0)}"


def describe_placeholder(text: str) -> str:
    """Returns what to do about a text that is not valid because another program should have replaced it, for the end of a message.

    Args:
      text: the text.

    Returns:
      The end of the message; "" if the text is not known to be a placeholder.
    """
    if "{{" in text:
        return TEMPLATE
    if "${" in text or "$(" in text:
        return "; if another program replaces the variable, give its output"
    return ""


def _find_cause(text: str, line: int) -> str:
    """Returns what probably makes a text invalid YAML, for the end of a message; "" if nothing is known.

    Args:
      text: the text of the file.
      line: the line of the error, counted from 0.
    """
    if "{{" in text:
        return TEMPLATE
    if has_several_values(text):
        return "; a JSON file has one object; put several into the items of a List"
    if any(_BYTE_ORDER_MARK in each for each in text.split("\n")[max(line - 1, 0) : line + 2]):
        return "; remove the byte order mark (U+FEFF) inside the file"
    return ""
