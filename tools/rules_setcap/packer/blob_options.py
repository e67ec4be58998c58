"""The flags that say how the blob of a layer is written."""

from __future__ import annotations

from typing import Any

from rules_setcap.actions.arguments import Arguments
from rules_setcap.archive import compress


def take_blob_options(arguments: Arguments, problems: list[str]) -> dict[str, Any]:
    """Returns the keyword arguments of layer.write() that say how the blob is written.

    Args:
      arguments: the arguments of the action.
      problems: list to which a message is added if the compression level is not valid.
    """
    compression = arguments.take_value("compression")
    return {
        "compression": compression,
        "level": compress.check_level(compression, arguments.take_number("level", "0"), problems),
        "library": arguments.take_value("library", ""),
        "threads": arguments.take_number("threads", "1"),
        "created_by": arguments.take_value("created-by"),
    }
