"""Replaces variables in texts of a Compose file with their values.

Compose Specification, "Interpolation" (https://docs.docker.com/reference/compose-file/interpolation/); compose-go
template/template.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rules_setcap.diagnostics.errors import quote

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*", re.ASCII)
_MAX_NESTED = 16


class UnsetError(ValueError):
    """A variable that has neither a value nor a default."""


def interpolate(text: str, environment: Mapping[str, str], depth: int = 0) -> str:
    """Returns a text with its variables replaced by their values.

    The forms are $X, ${X}, ${X:-default}, ${X-default}, ${X:+other}, ${X+other}, ${X:?message}, ${X?message}, and $$ for "$".

    Args:
      text: the text.
      environment: the values of variables.
      depth: the number of variables around the text.

    Raises:
      UnsetError: a variable has neither a value nor a default. Compose replaces it with "", and warns.
      ValueError: Compose refuses the text; the error says why.
    """
    if depth > _MAX_NESTED:
        raise ValueError(f"variables nested deeper than {_MAX_NESTED}")
    parts, position = [], 0
    while (dollar := text.find("$", position)) >= 0:
        parts.append(text[position:dollar])
        position = dollar + 1
        if text.startswith("$", position):
            parts.append("$")
            position += 1
            continue
        is_braced = text.startswith("{", position)
        name = _NAME.match(text, position + is_braced)
        if text.startswith("(", position):
            raise ValueError('Compose runs no commands and refuses "$("; write the value, or "$$(" for these characters')
        if not name:
            raise ValueError('"$" begins a variable; write "$$" for itself')
        position = name.end()
        rest = ""
        if is_braced:
            end = _find_closing_brace(text, position)
            rest, position = text[position:end], end + 1
        parts.append(_replace_variable(name[0], rest, environment, depth))
    return "".join(parts) + text[position:]


def _find_closing_brace(text: str, position: int) -> int:
    """Returns the position of the brace that closes the one before a position (compose-go, getFirstBraceClosingIndex).

    Raises:
      ValueError: there is no such brace.
    """
    level = 1
    for at in range(position, len(text)):
        if text[at] == "}":
            level -= 1
            if level == 0:
                return at
        elif text.startswith("${", at):
            level += 1
    raise ValueError('"${" without "}"')


def _replace_variable(name: str, rest: str, environment: Mapping[str, str], depth: int) -> str:
    """Returns the text that replaces a variable.

    Args:
      name: the name of the variable.
      rest: the text between its name and the closing brace: an operator and a word, or "".
      environment: as for interpolate().
      depth: as for interpolate().

    Raises:
      UnsetError: as for interpolate().
      ValueError: as for interpolate().
    """
    value = environment.get(name)
    has_colon = rest.startswith(":")  # With a colon, an empty value counts as unset.
    operator, word = rest[has_colon : has_colon + 1], rest[has_colon + 1 :]
    if rest and operator not in ("-", "?", "+"):
        raise ValueError(f"{quote('${' + name + rest[:40] + '}')} is not a valid variable; write it as ${{{name}:-default}}")
    is_set = value is not None and not (has_colon and value == "")
    if operator == "+":
        return interpolate(word, environment, depth + 1) if is_set else ""
    if is_set and value is not None:
        return value
    if operator == "-":
        return interpolate(word, environment, depth + 1)
    if operator == "?":
        message = _format_message(word, environment, depth)
        raise ValueError(f"the variable {name} has no value, which Compose refuses" + (f": {message}" if message else ""))
    raise UnsetError(
        f"the variable {name} has no value here (Compose would replace it with an empty text, and warn); give it one in the environment "
        f"or in .env, or a default: ${{{name}:-default}}"
    )


def _format_message(word: str, environment: Mapping[str, str], depth: int) -> str:
    """Returns the message of ${X:?message}, with its variables replaced if that is possible."""
    try:
        return interpolate(word, environment, depth + 1)[:200]
    except ValueError:
        return word[:200]
