"""Copies a tar into a layer, with other capabilities. rules/private/layer_actions.bzl, rewrite_tar(), writes the command line."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import files
from rules_setcap.packer import assignments, tar_rewriter
from rules_setcap.packer.blob_options import take_blob_options

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Writes the blob and the metadata of a layer.

    Args:
      arguments: the flags.
      problems: the collector of problems.

    Raises:
      InputError: there are problems.
      OSError: a file cannot be read or written.
    """
    output, metadata, tar = arguments.take_value("output"), arguments.take_value("metadata"), arguments.take_value("tar")
    blob = take_blob_options(arguments, problems)
    requests = [json.loads(text) for text in arguments.take_values("capabilities")]
    assigned = assignments.parse_assignments(requests, problems)
    existing = arguments.take_value("existing-capabilities", tar_rewriter.KEEP)
    drop_zero_rootid = bool(arguments.take_value("drop-zero-rootid", ""))
    arguments.check_all_taken()
    if os.path.isdir(tar):  # A directory in the source tree; to Bazel it is a file.
        problems.add("tar", tar, "is a directory, not a tar")
        problems.raise_if_any()
    rewriter = tar_rewriter.TarRewriter(tar, assigned, existing, drop_zero_rootid)
    files.write_json(metadata, rewriter.write_layer(output, problems, **blob))
