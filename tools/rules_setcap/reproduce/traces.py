"""Searches files that differ for values that the second build varied, such as the path of the workspace."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.reproduce.variations import Varied

_CHUNK = 1 << 20


def find_traces(paths: tuple[str, str], varied: Sequence[Varied]) -> list[tuple[str, str]]:
    """Returns the variations whose value a file contains: the name of each, and the value.

    A longer value is reported in place of the shorter values that it contains.

    Args:
      paths: the path of the file in the first build and in the second.
      varied: the variations that were made.
    """
    traces = []
    for number, path in enumerate(paths):
        values = {each.traces[number]: each.name for each in varied if each.traces[number]}
        texts = _find_texts(path, [value.encode() for value in values])
        for text in texts:
            value = text.decode()
            if not any(value != other.decode() and value in other.decode() for other in texts):
                traces.append((values[value], value))
    return traces


def _find_texts(path: str, texts: Sequence[bytes]) -> list[bytes]:
    """Returns the texts that the beginning of a file contains."""
    if not texts or not os.path.isfile(path):
        return []
    overlap = max(map(len, texts)) - 1
    found: set[bytes] = set()
    with open_regular(path) as file:
        tail, left = b"", limits.TRACED
        while left > 0 and (chunk := file.read(_CHUNK)):
            left -= len(chunk)
            window = tail + chunk
            found.update(text for text in texts if text in window)
            tail = window[-overlap:] if overlap else b""
    return [text for text in texts if text in found]
