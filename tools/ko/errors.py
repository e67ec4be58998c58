"""The one exception of this package."""

from __future__ import annotations

import json


class ConfigError(Exception):
    """What is wrong with a configuration, as a sentence."""


def quote(value: object) -> str:
    """`value` for a message: what cannot be seen is escaped, what is long is cut."""
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:197] + '..."'
