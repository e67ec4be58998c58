"""The modification time of a layer's entries."""

from __future__ import annotations

from rules_setcap.diagnostics.errors import problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments


def read_mtime(arguments: Arguments, problems: list[str]) -> int:
    """Reads --mtime, in seconds since 1970; 0, and a problem, if it is not a valid time.

    Args:
      arguments: with --mtime, as the user wrote it, and --stamp, a status file for each that its placeholders need.
      problems: list to add to.

    Raises:
      OSError: a status file cannot be read.
    """
    text, stamp = arguments.take_value("mtime", "0"), arguments.take_values("stamp")
    if text.isascii() and text.isdecimal() and len(text) < 12:
        return int(text)
    from rules_setcap.actions import stamps  # Few layers need them, and loading takes time.
    from rules_setcap.archive import times

    try:
        return times.parse_seconds(stamps.Status(stamp).expand(text))
    except ValueError as error:
        problems.append(problem("mtime", text, str(error)))
        return 0
