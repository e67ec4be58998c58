"""The command `imagecap set IN OUT PATH=CLAUSES...`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import InputError
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.imagecap.grants import parse_grants
from rules_setcap.imagecap.set_arguments import parse_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence


def set_capabilities(arguments: Sequence[str]) -> int:
    """Runs the command and returns the exit status, as exit_statuses.SET describes it.

    Args:
      arguments: the command line after `set`.

    Raises:
      InputError: the image or an argument is not valid.
      OSError: a file cannot be read or written.
    """
    options = parse_arguments(arguments)
    problems = Problems()
    parse_grants(options.grants, problems)
    problems.raise_if_any()
    raise InputError(["set: is not complete yet"])
