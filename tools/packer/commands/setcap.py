"""Copies a tar into a blob, with capabilities of other entries."""

from __future__ import annotations

import os

from .. import files, grants, layer, setcap
from ..errors import InputError, problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    output, metadata, tar = arguments.one("output"), arguments.one("metadata"), arguments.one("tar")
    blob = arguments.blob()
    granted = grants.parse(arguments.all("capabilities"), problems)
    others, drop_zero_rootid = arguments.one("existing-capabilities", setcap.KEEP), arguments.one("drop-zero-rootid", "")
    arguments.end()
    if os.path.isdir(tar):  # In the source tree: for Bazel it is a file.
        raise InputError([*problems, problem("tar", tar, "a directory, and setcap takes one tar")])
    said = setcap.Retrofit(tar, granted, others, bool(drop_zero_rootid), problems).write(output, **blob)
    files.write_whole(metadata, layer.encode(said))
