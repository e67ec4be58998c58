"""Copies a tar into a blob, with capabilities of other entries."""

from __future__ import annotations

import os

from rules_setcap.archive import compress
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError, problem
from rules_setcap.packer import assignments, setcap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    output, metadata, tar = arguments.one("output"), arguments.one("metadata"), arguments.one("tar")
    blob = arguments.blob()
    blob["level"] = compress.check_level(blob["compression"], blob["level"], problems)
    granted = assignments.parse(arguments.all("capabilities"), problems)
    others = arguments.one("existing-capabilities", setcap.KEEP)
    drop_zero_rootid = arguments.one("drop-zero-rootid", "")
    arguments.end()
    if os.path.isdir(tar):  # In the source tree: for Bazel it is a file.
        raise InputError([*problems, problem("tar", tar, "a directory, and setcap takes one tar")])
    said = setcap.Retrofit(tar, granted, others, bool(drop_zero_rootid), problems).write(output, **blob)
    files.write_json(metadata, said)
