"""What a stamped build knows: Bazel's workspace status files, `BUILD_TIMESTAMP 1700000000` and other keys."""

from __future__ import annotations

import re
import time

from .errors import InputError, problem, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Mapping


def timestamp(path: str) -> int:
    """The build's time, in seconds since 1970. Bazel takes it from SOURCE_DATE_EPOCH where that is set.

    Raises:
      InputError: the file says none.
      OSError: it cannot be read.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            key, _, value = line.strip().partition(" ")
            if key == "BUILD_TIMESTAMP" and value.isascii() and value.isdecimal() and len(value) < 12:
                return int(value)
    raise InputError([problem("stamp", path, "has no BUILD_TIMESTAMP")])


def read(paths: Iterable[str]) -> dict[str, str]:
    """The keys of status files, with their values.

    Raises:
      OSError: one cannot be read.
    """
    status = {}
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.rstrip("\n").partition(" ")
                status[key] = value
    return status


def expand(text: str, status: Mapping[str, str]) -> str:
    """`text`, with values in place of `{KEY}`.

    Args:
      text: what the user wrote.
      status: of the workspace; nothing if the target is not stamped.

    Raises:
      ValueError: what is wrong with a placeholder, as a sentence.
    """

    def value(match: re.Match[str]) -> str:
        key = match[1]
        if not status:
            raise ValueError(f"has the placeholder {match[0]}; set stamp = True")
        if key not in status:
            raise ValueError(f"the workspace status has no {quote(key)}; it has {', '.join(sorted(status))}")
        if not status[key]:
            raise ValueError(f"{key} has no value in the workspace status")
        return status[key]

    return re.sub(r"\{(\w+)\}", value, text, flags=re.ASCII)


def rfc3339(seconds: int) -> str:
    """The time as the config of an image has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
