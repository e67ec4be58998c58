"""The flags that say how the blob of a layer is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules_setcap.archive import compress

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def take_blob_options(arguments: Arguments, problems: Problems) -> dict[str, Any]:
    """Returns the keyword arguments of layer_writer.write_layer() that say how the blob is written."""
    compression, library = arguments.take_value("compression"), arguments.take_value("library", "")
    return {
        "compression": compression,
        "level": compress.check_level(compression, arguments.take_number("level", "0"), library, problems),
        "library": library,
        "threads": arguments.take_number("threads", "1"),
        "created_by": arguments.take_value("created-by"),
    }
