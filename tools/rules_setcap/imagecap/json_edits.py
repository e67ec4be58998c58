"""Replaces values in JSON documents, and keeps every other byte: white space, the order of keys, escapes.

So a document differs from the one that another tool wrote only in what is changed.
"""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # It is the function that JSONDecoder uses.
from typing import TYPE_CHECKING

from rules_setcap.oci.descriptors import encode_document

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import Any

    Place = tuple[str | int, ...]
    _Tree = dict[str | int, "_Tree | None"]

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


def edit_document(data: bytes, values: Mapping[Place, Any], removed: Collection[Place] = ()) -> bytes:
    """Returns a document with other values.

    Args:
      data: the document, which strict_json.parse_document() accepts.
      values: the new values by place: the keys and positions that lead to a value that the document has.
      removed: places of keys to remove. If there are any, the document is written again, without white space.
    """
    if removed:
        return _rewrite_document(data, values, removed)
    text = data.decode()
    tree: _Tree = {}
    for place in values:
        branch = tree
        for key in place[:-1]:
            branch = branch.setdefault(key, {})  # type: ignore[assignment]
        branch[place[-1]] = None
    parts = []
    at = 0
    for place, start, end in _find_values(text, _skip_space(text, 0), (), tree):
        parts += [text[at:start], json.dumps(values[place], ensure_ascii=False, separators=(",", ":"))]
        at = end
    return "".join([*parts, text[at:]]).encode()


def _rewrite_document(data: bytes, values: Mapping[Place, Any], removed: Collection[Place]) -> bytes:
    """Returns the document of edit_document(), written again."""
    document = json.loads(data)
    for place, value in values.items():
        _follow(document, place[:-1])[place[-1]] = value
    for place in removed:
        del _follow(document, place[:-1])[place[-1]]
    return encode_document(document)


def _follow(value: Any, place: Place) -> Any:
    for key in place:
        value = value[key]
    return value


def _find_values(text: str, at: int, place: Place, tree: _Tree | None) -> Iterator[tuple[Place, int, int]]:
    """Yields place, start and end of each of some values, in the order of the document.

    Args:
      text: the document.
      at: the place of a value in it.
      place: the keys and positions that lead to this value.
      tree: the keys of the values within it; None if the value itself is one of them.
    """
    if tree is None:
        yield place, at, _DECODER.raw_decode(text, at)[1]
        return
    is_object = text[at] == "{"
    at = _skip_space(text, at + 1)
    position = 0
    while text[at] not in "]}":
        key: str | int = position
        if is_object:
            key, at = scanstring(text, at + 1)
            at = _skip_space(text, _skip_space(text, at) + 1)
        if key in tree:
            yield from _find_values(text, at, (*place, key), tree[key])
        at = _skip_space(text, _DECODER.raw_decode(text, at)[1])
        at = _skip_space(text, at + 1) if text[at] == "," else at
        position += 1


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
