"""The exit statuses of imagecap: one table for all commands. docs/imagecap.md has the same table."""

from __future__ import annotations

from rules_setcap.diagnostics.command_line import SHARED_STATUSES

ALL = {
    0: "nothing to report; set: the new image is written",
    1: (
        "something to report: get and review have findings, diff has differences, and explain says that the process does not "
        "have its capabilities"
    ),
    2: "an input cannot be read, an output cannot be written, or an argument is wrong; set has written nothing",
    3: "explain: the program or its capabilities are unknown",
    **SHARED_STATUSES,
}
"""The meaning of each exit status."""

SET = {
    0: "the new image is written",
    2: "the image cannot be read or written, a file cannot have the capabilities, or a flag is wrong; nothing is written",
    **SHARED_STATUSES,
}
"""The meaning of each exit status of `imagecap set`."""
