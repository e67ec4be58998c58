"""The command `imagecap set IN OUT PATH=CLAUSES...`."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from rules_setcap.diagnostics import progress
from rules_setcap.diagnostics.console import format_json
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.diagnostics.program_names import IMAGECAP
from rules_setcap.imagecap.grants import parse_grants
from rules_setcap.imagecap.set_arguments import parse_arguments
from rules_setcap.imagecap.set_report import format_report, make_json_report
from rules_setcap.imagecap.setting import SetRequest, set_image_capabilities
from rules_setcap.imagecap.staging import STANDARD_OUTPUT

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
    assignments = parse_grants(options.grants, problems)
    problems.raise_if_any()
    request = SetRequest(
        source=options.source,
        output=options.output,
        assignments=assignments,
        rewrite=options.rewrite,
        removes_others=options.only or options.strip,
        platform=options.platform,
        image_name=options.image_name,
        format=options.format,
        compression=options.compression or "",
        force=options.force,
    )
    signal.signal(signal.SIGTERM, _exit_after_signal)  # So that the temporary directory beside the output is removed.
    with progress.show_progress(IMAGECAP.program):
        result = set_image_capabilities(request)
    # The image is on standard output.
    stream = sys.stderr if options.output == STANDARD_OUTPUT else sys.stdout
    if options.json:
        print(format_json(make_json_report(result, options.output)), file=stream)
    else:
        for line in format_report(result):
            print(line, file=stream)
    return 0


def _exit_after_signal(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)
