"""The flags that several programs of `bazel run` have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics.command_line import parse_number
from rules_setcap.diagnostics.programs import IDLE_LIMIT

if TYPE_CHECKING:
    from rules_setcap.diagnostics.command_line import CommandParser

CREDENTIALS_NOTE = "The client for registries, crane or skopeo, uses its own credentials."
INSECURE_HELP = "allow plain HTTP, and certificates that cannot be verified; always set for a registry on this machine"


def add_timeout(parser: CommandParser, meaning: str) -> None:
    """Adds the flag --timeout.

    Args:
      parser: gets the flag.
      meaning: what it limits, for --help.
    """
    parser.add_checked_argument(
        "--timeout", _parse_timeout, metavar="SECONDS", default=IDLE_LIMIT, help=f"{meaning} (default: {IDLE_LIMIT})"
    )


def _parse_timeout(text: str) -> int:
    return parse_number(text, 1, 86400)
