"""Makes JSON readable to YAML parsers, which lack two escapes of JSON: pairs of surrogates, and in go-yaml the slash."""

from __future__ import annotations

import json
import re

# Every backslash of a JSON text begins an escape in a string.
_ESCAPE = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|.)")
FILLER = "\U0010fffd"
"""A private character that mask_surrogates() writes behind others."""


def is_json(text: str) -> bool:
    """Returns whether a text is one JSON object or array."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def has_several_values(text: str) -> bool:
    """Returns whether a text begins with a JSON object, and goes on with another one."""
    begin = text.lstrip()
    if not begin.startswith("{"):
        return False
    try:
        end = json.JSONDecoder().raw_decode(begin)[1]
    except (ValueError, RecursionError):
        return False
    return begin[end:].lstrip().startswith("{")


def mask_surrogates(text: str) -> str:
    """Replaces the pairs of surrogates in JSON, so that libyaml reads it. All else keeps its position.

    Args:
      text: a JSON or YAML text.

    Returns:
      The text, in JSON with each pair as its character and FILLER up to the length of the pair.
    """
    if "\\ud" not in text.lower() or FILLER in text or not is_json(text):
        return text
    return _ESCAPE.sub(lambda match: _decode_pair(match).ljust(len(match[0]), FILLER) if match[1] else match[0], text)


def replace_escapes(text: str) -> str:
    r"""Replaces the pairs of surrogates and `\/` in a JSON text by their characters, so that every YAML parser reads it."""
    return _ESCAPE.sub(lambda match: _decode_pair(match) if match[1] else "/" if match[0] == "\\/" else match[0], text)


def _decode_pair(match: re.Match[str]) -> str:
    """Returns the character of a pair of surrogates; RFC 8259, section 7."""
    high, low = (int(match[number], 16) for number in (1, 2))
    return chr(0x10000 + (high - 0xD800 << 10) + low - 0xDC00)
