"""The YAML parser, and the limits of what it is given to parse."""

from __future__ import annotations

import yaml

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote

PLAIN, QUOTED = "plain", "quoted"
"""The tags of scalars that have none in the file."""


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A SafeLoader that does not decide what a plain scalar means; its reader does."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: object) -> str:
        """Returns the tag of a node that has none: PLAIN or QUOTED for a scalar, "" for others."""
        if kind is yaml.ScalarNode:
            return PLAIN if isinstance(implicit, tuple) and implicit[0] else QUOTED
        return ""


class RefusedError(Exception):
    """A document that is not read any further.

    Attributes:
      line: the line that it is about, counted from 1; 0 if it is about the file.
    """

    def __init__(self, line: int, what: str) -> None:
        """Creates an error with a sentence."""
        super().__init__(what)
        self.line = line


def decode_text(data: bytes) -> str:
    """Returns the text of a file without byte order marks at its begin, which libyaml does not count in its positions.

    Raises:
      UnicodeDecodeError: the file is not UTF-8.
    """
    return data.decode().lstrip("\ufeff")


def check_limits(text: str) -> None:
    """Checks how deep a file is, and how large with its aliases written out.

    It only looks at the parser's events, so that neither recursion nor memory can exceed a limit.

    Args:
      text: the text of the file.

    Raises:
      RefusedError: a limit is exceeded.
      yaml.YAMLError: the file is not YAML.
    """
    sizes: dict[str, int] = {}  # The number of values below each anchor.
    count, most = 0, limits.YAML_NODES_FREE + len(text) // limits.YAML_BYTES_PER_NODE
    collections: list[tuple[str | None, int]] = []  # Anchor and size so far of the collections that have not ended.
    for event in yaml.parse(text, Loader=Loader):
        size, anchor = 1, getattr(event, "anchor", None)
        line = event.start_mark.line + 1 if event.start_mark else 1
        count += isinstance(event, yaml.NodeEvent)
        if count > most:
            what = f"limit YAML_NODES_FREE: {limits.YAML_NODES_FREE}, and one for each {limits.YAML_BYTES_PER_NODE} bytes"
            raise RefusedError(line, f"too many values for its size ({what})")
        if isinstance(event, yaml.DocumentStartEvent):
            sizes.clear()
            continue
        if isinstance(event, yaml.CollectionStartEvent):
            collections.append((anchor, 1))
            if len(collections) > limits.YAML_DEPTH:
                raise RefusedError(line, f"nested too deep (limit YAML_DEPTH: {limits.YAML_DEPTH})")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = collections.pop()
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == outer for outer, _ in collections):
                raise RefusedError(line, f"{quote('*' + str(anchor))} is inside the value that it stands for")
            size, anchor = sizes.get(anchor or "", 1), None
        elif not isinstance(event, yaml.ScalarEvent):
            continue
        if anchor is not None:
            sizes[anchor] = size
        if collections:
            outer, outer_size = collections[-1]
            collections[-1] = (outer, outer_size + size)
            if outer_size + size > limits.YAML_VALUES:
                what = f"limit YAML_VALUES: {limits.YAML_VALUES}"
                raise RefusedError(line, f"too many values, with aliases written out ({what})")
