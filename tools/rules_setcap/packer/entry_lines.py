"""Decodes the lines of a layer's entries.

rules/private/entries.bzl writes the lines. Each is a JSON object with these fields:

- `attribute`: the attribute that the entry is from, for messages.
- `path`: absolute path in the image.
- `source`: the file or directory to copy, or the symbolic link to repeat. A file without a source is empty.
- `output`: in place of `source` on Bazel 7: an output of an action, which may be an unresolved symlink.
- `type`: "file" (the default), "directory", "symlink" or "hardlink".
- `target`: what a link leads to.
- `mode`: permissions in octal.
- `uid`, `gid`: numbers; 0 by default.

The line of a file, of which a layer may have 100,000, is a JSON array with the values of the first three or four fields: `["srcs",
"/usr/bin/tool", "tool"]`. Bazel makes it faster than an object, and the packer reads it in half of the time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE_FIELDS = ("attribute", "path", "source", "output")


def decode_lines(lines: Sequence[str]) -> list[Any]:
    """Decodes each line as JSON; None if it is not valid. Decoding many at once takes a third of the time."""
    values = decode_line("[" + ",".join(lines) + "]")
    if isinstance(values, list) and len(values) == len(lines):
        return values
    return [decode_line(line) for line in lines]


def decode_line(line: str) -> object:
    """Decodes a line as JSON; None if it is not valid."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def name_fields(value: Any) -> Any:
    """Returns the object that stands for an array; anything else as it is."""
    if isinstance(value, list) and len(value) in (3, 4):
        return {name: field for name, field in zip(_FILE_FIELDS, value, strict=False) if field != ""}
    return value
