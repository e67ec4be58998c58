"""Parses files of variables as Compose does: .env, and the files that env_file of a service names.

compose-go dotenv/parser.go; https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/,
"Env file syntax".
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping

from rules_setcap.containers.compose import interpolation
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, format_problem

_NAME = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_START = re.compile(r"(?:export[ \t]+)?([^=:\n#]*?)[ \t]*([=:\n])[ \t]*", re.ASCII)
_BLANK = re.compile(r"\s*")
_ESCAPE = re.compile(r"\\([\\nrt\"$])")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t"}


def parse_variables(data: bytes, file: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables of a file, by name.

    A variable is left out if its value refers to another one that is not set. Compose would replace that one with "".

    Args:
      data: the bytes of the file.
      file: its name, for messages.
      environment: the values of variables that the file may refer to; they override those of the file.

    Raises:
      InputError: the file is not valid; the error has the first problem.
    """
    if len(data) > limits.YAML:
        raise InputError([f"{file}: is too large (limit: {limits.YAML} bytes)"])
    text = data.decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n") + "\n"
    variables: dict[str, str] = {}
    scope = ChainMap(dict(environment), variables)  # The environment overrides the file.
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
            raise InputError([format_problem(where, rest[:40], "not a variable; write it as NAME=value")])
        name, at = start[1], start.end()
        if start[2] == "\n":
            # A name without a value has the value of the environment in which Compose runs.
            if name in environment:
                variables[name] = environment[name]
            continue
        quote, value, at = _read_value(text, at, where)
        if quote == "'":
            variables[name] = value
            continue
        try:
            variables[name] = interpolation.interpolate(value, scope)
        except interpolation.UnsetError:
            variables.pop(name, None)
        except ValueError as error:
            raise InputError([format_problem(where, value, str(error))]) from None
    return variables


def _read_value(text: str, at: int, where: str) -> tuple[str, str, int]:
    """Reads a value.

    Args:
      text: the text of the file, which ends with a line feed.
      at: the position where the value begins.
      where: the prefix of messages.

    Returns:
      The value's quotation mark, or "" if it has none; the value, in which variables are not replaced yet; and the position
      after it.

    Raises:
      InputError: the value has no closing quotation mark.
    """
    quote = text[at]
    if quote not in "'\"":
        end = text.index("\n", at)
        line = text[at:end]
        if line.startswith("#"):
            line = ""
        return "", line.partition(" #")[0].rstrip(), end
    end = at + 1
    while end < len(text) and text[end] != quote:
        end += 2 if text[end] == "\\" else 1
    if end >= len(text):
        raise InputError([format_problem(where, text[at : at + 40].partition("\n")[0], f"no closing {quote}")])
    value = text[at + 1 : end]
    if quote == "'":
        return quote, value.replace("\\'", "'"), end + 1
    # "\$" is a "$" that begins no variable; interpolate() reads "$$" so.
    return quote, _ESCAPE.sub(lambda match: "$$" if match[1] == "$" else _LETTERS.get(match[1], match[1]), value), end + 1
