"""Output that the commands of getcap share."""

from __future__ import annotations

from rules_setcap.diagnostics import console

JSON_VERSION = 1
"""The value of the key `version` of every JSON object that getcap prints.

It changes when a key is removed or gets another meaning. New keys do not change it.
"""


def print_error(message: str) -> None:
    """Prints a message as one line on stderr."""
    console.print_error("getcap", message)
