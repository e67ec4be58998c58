"""Resolves the values of attributes that a file can hold, and that can have placeholders for the workspace status."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rules_setcap.archive import times
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote
from rules_setcap.diagnostics.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules_setcap.actions.stamps import Status
    from rules_setcap.diagnostics.problems import Problems

_CREATED = "org.opencontainers.image.created"  # OCI image-spec, "Pre-Defined Annotation Keys": a time of RFC 3339.


def read_lines(path: str, attribute: str, problems: Problems) -> list[tuple[int, str]]:
    """Returns the lines of a file that are not empty, each with its number.

    Args:
      path: the path of the file.
      attribute: the attribute that names the file, for messages.
      problems: collects what is wrong with the file.

    Raises:
      OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        data = file.read(limits.VALUES + 1)
    if len(data) > limits.VALUES:
        problems.add(attribute, path, f"is too large (limit VALUES: {limits.VALUES} bytes)")
        return []
    try:
        text = data.decode()
    except UnicodeDecodeError:
        problems.add(attribute, path, "is not UTF-8")
        return []
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def resolve_pairs(attribute: str, pairs: Mapping[str, str], path: str, status: Status, problems: Problems) -> dict[str, str]:
    """Returns the pairs of an attribute and of its file, with their placeholders replaced.

    Args:
      attribute: "annotations", "env" or "labels"; `<attribute>_file` names the file.
      pairs: the attribute.
      path: the path of the file, which has a line `NAME=VALUE` for each pair; "" if there is none.
      status: the workspace status.
      problems: collects what is wrong.

    Raises:
      OSError: the file cannot be read.
    """
    resolved: dict[str, str] = {}
    for name, value in pairs.items():
        fault = _find_name_fault(attribute, name)
        if attribute == "env" and "=" in name:
            fault = 'not a valid name of a variable; it must not have "="'
        if fault:
            problems.add(attribute, name, fault)
            continue
        try:
            resolved[name] = _resolve_value(attribute, name, value, status)
        except ValueError as error:
            problems.add(attribute, f"{name}={value}", str(error))
    lines: dict[str, int] = {}
    for number, line in read_lines(path, f"{attribute}_file", problems) if path else ():
        name, equals, value = line.partition("=")
        fault = _find_name_fault(attribute, name) if equals else "must be NAME=VALUE"
        if not fault and name in lines:
            fault = f"{name} is in line {lines[name]} already; keep one"
        if not fault and name in pairs:
            fault = f"{name} is in {attribute} already; keep one"
        lines.setdefault(name, number)
        try:
            if fault:
                raise ValueError(fault)
            resolved[name] = _resolve_value(attribute, name, value, status)
        except ValueError as error:
            problems.add(f"{attribute}_file", path, f"line {number}, {quote(line)}: {error}")
    return resolved


def resolve_created(text: str, path: str, status: Status, problems: Problems) -> str:
    """Returns the time of creation from the attribute `created` or the file `created_file`; "" if there is neither.

    Args:
      text: the attribute `created`; "" if it is not set.
      path: the path of the file; "" if there is none.
      status: the workspace status, whose values replace placeholders.
      problems: collects what is wrong.

    Raises:
      OSError: the file cannot be read.
    """
    attribute, value = "created", text
    if path:
        attribute, value = "created_file", path
        lines = read_lines(path, attribute, problems)
        if text:
            problems.add("created", text, "is given beside created_file; keep one")
            return ""
        if len(lines) != 1:
            problems.add(attribute, path, f"has {len(lines)} lines; it must hold one time")
            return ""
        text = lines[0][1].strip()
    if not text:
        return ""
    try:
        return times.normalize_time(status.expand(text))
    except ValueError as error:
        problems.add(attribute, value, f"{quote(text)}: {error}" if path else str(error))
        return ""


def _find_name_fault(attribute: str, name: str) -> str:
    """Returns what is wrong with the name of a label, an annotation or a variable, as a sentence; "" if it is valid."""
    if not name:
        return "the name must not be empty"
    if attribute == "env" and not re.fullmatch(r"[^=\0\s]+", name):
        return "not a valid name of a variable; it must not have white space"
    if "\0" in name:
        return "the name must not have a NUL character"
    return ""


def _resolve_value(attribute: str, name: str, value: str, status: Status) -> str:
    """Returns a value with its placeholders replaced.

    Raises:
      ValueError: the value is not valid; the message is a sentence.
    """
    if "\0" in value:
        raise ValueError("the value must not have a NUL character")
    if attribute == "env":
        return status.expand_variable(value)
    value = status.expand(value, may_have_braces=True)
    if name == _CREATED and value.isascii() and value.isdecimal():
        return times.normalize_time(value)  # BUILD_TIMESTAMP is in seconds.
    return value
