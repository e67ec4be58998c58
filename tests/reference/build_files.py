"""Reads the targets of a BUILD file and the comments above them. The syntax of BUILD files is that of Python."""

from __future__ import annotations

import ast
import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A target of a BUILD file.

    Attributes:
      rule: the name of its rule.
      attributes: its attributes, with literal values.
      comment: the comment above it, with its line breaks; "" if there is none.
    """

    rule: str
    attributes: dict[str, Any]
    comment: str


def read_targets(text: str, rules: set[str]) -> list[Target]:
    """Returns the targets of some rules, in the order of the file.

    Args:
      text: the BUILD file.
      rules: the names of the rules.
    """
    lines = text.splitlines()
    return [
        Target(node.value.func.id, _read_attributes(node.value), _read_comment(lines, node.lineno - 1))
        for node in ast.parse(text).body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name)
        if node.value.func.id in rules
    ]


def _read_attributes(call: ast.Call) -> dict[str, Any]:
    """Returns the attributes of a target."""
    return {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}


def _read_comment(lines: list[str], index: int) -> str:
    """Returns the comment that ends above a line.

    Args:
      lines: the lines of the file.
      index: the index of the line.
    """
    first = index
    while first and lines[first - 1].startswith("#"):
        first -= 1
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[first:index])
