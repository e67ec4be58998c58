"""The modification time of a layer's entries."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def read_mtime(arguments: Arguments, problems: Problems) -> int:
    """Reads the flag --mtime.

    Args:
      arguments: --mtime, JSON of what the user wrote, and --stamp, the status files that its placeholder needs.
      problems: the collector of problems.

    Returns:
      The time in seconds since 1970; 0 if it is not valid.

    Raises:
      OSError: a status file cannot be read.
    """
    text, status_files = str(json.loads(arguments.take_value("mtime", "0"))), arguments.take_values("stamp")
    if text.isascii() and text.isdecimal() and len(text) < 12:
        return int(text)
    from rules_setcap.actions import stamps  # Few layers need these modules, and importing them takes time.
    from rules_setcap.archive import times

    try:
        return times.parse_seconds(stamps.Status(status_files).expand(text))
    except ValueError as error:
        problems.add("mtime", text, str(error))
        return 0
