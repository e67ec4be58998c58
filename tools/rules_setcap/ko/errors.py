"""The exception of this package."""

from rules_setcap.diagnostics.errors import quote

__all__ = ["ConfigError", "quote"]


class ConfigError(Exception):
    """An invalid configuration; the message is a sentence."""
