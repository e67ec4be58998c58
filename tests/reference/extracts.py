"""Reads what `starlark_doc_extract` extracts from a .bzl file: a `ModuleInfo` message in the text format of protocol buffers.

The messages and their fields are described in Bazel's `src/main/protobuf/stardoc_output.proto`.
"""

from __future__ import annotations

import ast
import re
from typing import Any

Message = dict[str, list[Any]]
"""A message: the values of each field, in order. A value is a str (strings, numbers, enums, booleans) or a Message."""

_TOKEN = re.compile(
    r"""
    \s*(?:
        (?P<field>\w+)
        (?: \s*:\s*(?P<value> "(?:[^"\\]|\\.)*" | [\w.+-]+ ) | \s*:?\s*(?P<open>\{) )
      | (?P<close>\})
    )\s*""",
    re.VERBOSE,
)


def parse_message(text: str) -> Message:
    """Parses a message in the text format of protocol buffers.

    Args:
      text: the message, as Java's `TextFormat.printer()` writes it.

    Raises:
      ValueError: The text is not such a message.
    """
    root: Message = {}
    open_messages = [root]
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise ValueError(f"invalid text format at {text[position : position + 40]!r}")
        position = token.end()
        if token["close"]:
            open_messages.pop()
        elif token["open"]:
            message: Message = {}
            open_messages[-1].setdefault(token["field"], []).append(message)
            open_messages.append(message)
        else:
            open_messages[-1].setdefault(token["field"], []).append(_parse_value(token["value"]))
        if not open_messages:
            raise ValueError("a message is closed that is not open")
    if len(open_messages) != 1:
        raise ValueError("a message is not closed")
    return root


def _parse_value(text: str) -> str:
    """Returns a scalar as text. A string is in double quotes, with the escapes of C; bytes that are not ASCII are octal."""
    return ast.literal_eval("b" + text).decode() if text.startswith('"') else text


def get_field(message: Message, *path: str) -> str:
    """Returns the value of a field that occurs at most once; "" if it is absent.

    Args:
      message: the message.
      *path: the field's name, after the names of the messages that have it.
    """
    *outer, last = path
    for name in outer:
        (message,) = message.get(name, [{}])
    (value,) = message.get(last, [""])
    return str(value)
