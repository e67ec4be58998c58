"""Replaces variables in the texts of a Compose file.

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
    """A variable has neither a value nor a default."""


def interpolate(text: str, environment: Mapping[str, str], depth: int = 0) -> str:
    """Returns a text with its variables replaced: $X, ${X}, ${X:-default}, ${X-default}, ${X:+other}, ${X+other}, ${X:?text},
    ${X?text} and $$.

    Args:
      text: the text.
      environment: values of variables.
      depth: how deep the text is in others.

    Raises:
      UnsetError: a variable has neither a value nor a default. Compose takes it for empty, with a warning.
      ValueError: Compose refuses the text.
    """
    if depth > _MAX_NESTED:
        raise ValueError(f"variables nested deeper than {_MAX_NESTED}")
    found, position = [], 0
    while (dollar := text.find("$", position)) >= 0:
        found.append(text[position:dollar])
        position = dollar + 1
        if text.startswith("$", position):
            found.append("$")
            position += 1
            continue
        braced = text.startswith("{", position)
        name = _NAME.match(text, position + braced)
        if text.startswith("(", position):
            raise ValueError('Compose runs no commands and refuses "$("; write the value, or "$$(" for these characters')
        if not name:
            raise ValueError('"$" begins a variable; write "$$" for itself')
        position = name.end()
        rest = ""
        if braced:
            end = _closing(text, position)
            rest, position = text[position:end], end + 1
        found.append(_value(name[0], rest, environment, depth))
    return "".join(found) + text[position:]


def _closing(text: str, position: int) -> int:
    """Returns the position of the brace that closes the one before `position`, as getFirstBraceClosingIndex of compose-go does."""
    level = 1
    for at in range(position, len(text)):
        if text[at] == "}":
            level -= 1
            if level == 0:
                return at
        elif text.startswith("${", at):
            level += 1
    raise ValueError('"${" without "}"')


def _value(name: str, rest: str, environment: Mapping[str, str], depth: int) -> str:
    """Returns the text in place of a variable; `rest` is what follows its name in braces."""
    value = environment.get(name)
    empty = rest.startswith(":")
    operator, word = rest[empty : empty + 1], rest[empty + 1 :]
    if rest and operator not in ("-", "?", "+"):
        raise ValueError(f"{quote('${' + name + rest[:40] + '}')} is no variable; write it as ${{{name}:-default}}")
    is_set = value is not None and not (empty and value == "")
    if operator == "+":
        return interpolate(word, environment, depth + 1) if is_set else ""
    if is_set and value is not None:
        return value
    if operator == "-":
        return interpolate(word, environment, depth + 1)
    if operator == "?":
        said = _shown(word, environment, depth)
        raise ValueError(f"the variable {name} has no value, which Compose refuses" + (f": {said}" if said else ""))
    raise UnsetError(
        f"the variable {name} has no value here (Compose would take it for empty, with a warning); give it one in the environment "
        f"or in .env, or a default: ${{{name}:-default}}"
    )


def _shown(word: str, environment: Mapping[str, str], depth: int) -> str:
    """Returns the text of ${X:?text}."""
    try:
        return interpolate(word, environment, depth + 1)[:200]
    except ValueError:
        return word[:200]
