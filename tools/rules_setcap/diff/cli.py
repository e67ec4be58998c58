"""The program image_diff."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.console import run_program
from rules_setcap.diagnostics.program_names import IMAGE_DIFF
from rules_setcap.diff.diff_command import compare_images

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Runs image_diff; returns the exit status, as diff_command.STATUSES describes it.

    Args:
      arguments: the command line, without the program's name.
    """
    return run_program(IMAGE_DIFF.program, functools.partial(compare_images, names=IMAGE_DIFF), arguments)
