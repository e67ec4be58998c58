"""Replaces scalars in the text of a YAML file. Everything else stays as it is, to the byte: comments, order, line ends."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import yaml

from rules_setcap.documents.json_text import mask_surrogates
from rules_setcap.documents.yaml_loader import Loader, decode_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN = re.compile(r"[A-Za-z0-9_/.-]+(?:[:@][A-Za-z0-9_/.-]+)*", re.ASCII)
"""Texts that are the same with and without quotes, if they are not numbers and the like."""


def replace_scalars(data: bytes, replacements: Mapping[tuple[int, int], str]) -> bytes:
    """Replaces scalars, and keeps their quotes, anchors and tags.

    Args:
      data: the bytes of a file that yaml_documents.parse_documents() has parsed.
      replacements: the new values by the spans of the nodes (Node.span). The old and the new values must be texts of one line,
        without spaces and quotes.

    Returns:
      The bytes of the changed file.
    """
    text = decode_text(data)
    # The span of a node includes its anchor and tag; the token of a scalar does not.
    scalars = (token for token in yaml.scan(mask_surrogates(text), Loader=Loader) if isinstance(token, yaml.ScalarToken))
    tokens = {token.end_mark.index: token for token in scalars}
    pieces, position = [], 0
    for _, end in sorted(replacements):
        token = tokens[end]
        begin = token.start_mark.index
        pieces += [text[position:begin], _write_scalar(text[begin:end], token.value, replacements[_, end])]
        position = end
    changed = "".join([*pieces, text[position:]]).encode()
    return data[: len(data) - len(text.encode())] + changed


def _write_scalar(source: str, old: str, new: str) -> str:
    """Returns a scalar in the style of another one.

    Args:
      source: the other one, as it is written.
      old: its value.
      new: the value to write.
    """
    if source[0] in "|>":
        header, newline, lines = re.split(r"([\r\n]+)", source, maxsplit=1)  # The header may have a comment.
        return header + newline + lines.replace(old, new, 1)
    if source[0] in "'\"":
        return source[0] + new + source[0]
    return new if _PLAIN.fullmatch(new) else json.dumps(new)
