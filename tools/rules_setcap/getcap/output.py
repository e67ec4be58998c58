"""Output that the commands of getcap share: errors on stderr, and JSON."""

from __future__ import annotations

import json
import sys

from rules_setcap.diagnostics.errors import printable

JSON_VERSION = 1
"""The value of the key `version` of every JSON object that getcap prints.

It changes when a key is removed or gets another meaning. New keys do not change it.
"""


def format_json(value: object) -> str:
    """Returns indented JSON in printable ASCII."""
    return json.dumps(value, indent=2).replace("\x7f", "\\u007f")


def print_error(message: str) -> None:
    """Prints a message as one line on stderr."""
    print(f"getcap: {printable(message)}", file=sys.stderr)
