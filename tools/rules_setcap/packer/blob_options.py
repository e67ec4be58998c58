"""Reads the flags that say how the blob of a layer is written."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rules_setcap.actions.arguments import Arguments


def take_blob_options(arguments: Arguments) -> dict[str, Any]:
    """Returns the keyword arguments of layer_writer.write_layer() that say how the blob is written."""
    return {
        "compression": arguments.take_value("compression"),
        "level": arguments.take_number("level", "0"),
        "library": arguments.take_value("library", ""),
        "threads": arguments.take_number("threads", "1"),
        "created_by": arguments.take_value("created-by"),
    }
