"""Reads files of variables as Compose does: .env, and the env_file of a service.

compose-go dotenv/parser.go; https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/,
"Env file syntax".
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping

from rules_setcap.containers.compose import interpolation
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, problem

_NAME = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_START = re.compile(r"(?:export[ \t]+)?([^=:\n#]*?)[ \t]*([=:\n])[ \t]*", re.ASCII)
_BLANK = re.compile(r"\s*")
_ESCAPE = re.compile(r"\\([\\nrt\"$])")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t"}


def parse_variables(data: bytes, file: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables of a file.

    One whose value needs a variable that is not set is left out: Compose would take that for empty.

    Args:
      data: the file's bytes.
      file: its name, for messages.
      environment: variables that values may refer to, besides those of the file; they win.

    Raises:
      InputError: with the first thing that is wrong.
    """
    if len(data) > limits.YAML:
        raise InputError([f"{file}: is too large (limit: {limits.YAML} bytes)"])
    text = data.decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n") + "\n"
    found: dict[str, str] = {}
    # The environment's come first.
    variables = ChainMap(dict(environment), found)
    at, line, counted = 0, 1, 0
    while blank := _BLANK.match(text, at):
        at = blank.end()
        if at == len(text):
            break
        line, counted = line + text.count("\n", counted, at), at
        where = f"{file}:{line}"
        if text[at] == "#":
            at = text.index("\n", at)
            continue
        start = _START.match(text, at)
        if not start or not _NAME.fullmatch(start[1]):
            rest = text[at : text.index("\n", at)]
            raise InputError([problem(where, rest[:40], "not a variable; write it as NAME=value")])
        name, at = start[1], start.end()
        if start[2] == "\n":
            # A name alone has the value that it has where Compose runs.
            if name in environment:
                found[name] = environment[name]
            continue
        value, at = _value(text, at, where)
        if value[:1] == "'":
            found[name] = value[1:]
            continue
        try:
            found[name] = interpolation.interpolate(value[1:], variables)
        except interpolation.UnsetError:
            found.pop(name, None)
        except ValueError as error:
            raise InputError([problem(where, value[1:], str(error))]) from None
    return found


def _value(text: str, at: int, where: str) -> tuple[str, int]:
    """Returns the value that begins at a position, with a character in front that tells how it was quoted, and its end."""
    quote = text[at]
    if quote not in "'\"":
        end = text.index("\n", at)
        line = text[at:end]
        if line.startswith("#"):
            line = ""
        return " " + line.partition(" #")[0].rstrip(), end
    end = at + 1
    while end < len(text) and text[end] != quote:
        end += 2 if text[end] == "\\" else 1
    if end >= len(text):
        raise InputError([problem(where, text[at : at + 40].split("\n")[0], f"no closing {quote}")])
    value = text[at + 1 : end]
    if quote == "'":
        return quote + value.replace("\\'", "'"), end + 1
    # "\$" is a "$" that begins no variable.
    return quote + _ESCAPE.sub(lambda match: "$$" if match[1] == "$" else _LETTERS.get(match[1], match[1]), value), end + 1
