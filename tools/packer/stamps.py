"""The time of a stamped build: Bazel's status file, `BUILD_TIMESTAMP 1700000000`."""

from __future__ import annotations

import time

from .errors import InputError, problem


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


def rfc3339(seconds: int) -> str:
    """The time as the config of an image has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
