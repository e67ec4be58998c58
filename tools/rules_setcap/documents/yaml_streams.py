"""Joins YAML and JSON files to one stream that kubectl reads.

kubectl splits a stream at lines that begin with `---`, and gives each part to a YAML parser of its own (YAMLReader in
k8s.io/apimachinery/pkg/util/yaml). After `---`, such a line may have only a comment. A part with only a directive is an error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rules_setcap.documents.json_text import is_json, replace_escapes
from rules_setcap.documents.yaml_loader import decode_text

if TYPE_CHECKING:
    from collections.abc import Iterable

_VERSION = re.compile(r"\A((?:[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n))*)%YAML[ \t][^\r\n]*(?:\r\n|\r|\n)", re.ASCII)
"""The directive %YAML at the begin of a file, after blank lines and comments."""
_CONTENT_BESIDE_MARKER = re.compile(r"^---[ \t]+(?=[^\s#])", re.ASCII | re.MULTILINE)
"""The begin of a document on the line of its marker. In texts, lines that begin so are indented."""


def join_files(files: Iterable[bytes]) -> bytes:
    """Returns the documents of files as one stream.

    Args:
      files: the bytes of files that yaml_documents.parse_documents() has parsed.
    """
    pieces: list[str] = []
    for file in files:
        text = decode_text(file)
        if is_json(text):
            pieces += ["---\n", _end_line(replace_escapes(text))]
        else:
            text = _simplify_markers(text)
            pieces += [_find_separator(text, is_first=not pieces), _end_line(text)]
    return "".join(pieces).encode()


def _simplify_markers(text: str) -> str:
    """Returns a YAML text without what kubectl does not read: %YAML at its begin, and documents on the line of their marker."""
    return _CONTENT_BESIDE_MARKER.sub("---\n", _VERSION.sub(r"\1", text))


def _find_separator(text: str, *, is_first: bool) -> str:
    """Returns what stands between other documents and a YAML text; "" if the text begins with a marker of its own."""
    lines = (line for line in text.splitlines() if line.strip())
    begin = next((line for line in lines if not line.lstrip().startswith("#")), "")
    if begin.startswith("%") and not is_first:
        return "...\n"  # A directive is valid only after the end of a document.
    return "" if begin.startswith(("---", "%")) else "---\n"


def _end_line(text: str) -> str:
    """Returns a text that ends with a line end."""
    return text if text.endswith(("\n", "\r")) else text + "\n"
