"""Copies a tar into a blob, with capabilities of other entries."""

from __future__ import annotations

import os

from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError, problem
from rules_setcap.packer import assignments, setcap
from rules_setcap.packer.blob_options import take_blob_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments


def run_command(arguments: Arguments, problems: list[str]) -> None:
    output, metadata, tar = arguments.take_value("output"), arguments.take_value("metadata"), arguments.take_value("tar")
    blob = take_blob_options(arguments, problems)
    granted = assignments.parse(arguments.take_values("capabilities"), problems)
    others = arguments.take_value("existing-capabilities", setcap.KEEP)
    drop_zero_rootid = arguments.take_value("drop-zero-rootid", "")
    arguments.check_all_taken()
    if os.path.isdir(tar):  # In the source tree: for Bazel it is a file.
        raise InputError([*problems, problem("tar", tar, "is a directory, not a tar")])
    said = setcap.Retrofit(tar, granted, others, bool(drop_zero_rootid), problems).write(output, **blob)
    files.write_json(metadata, said)
