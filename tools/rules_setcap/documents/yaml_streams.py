"""Joins YAML and JSON files to one stream that kubectl reads.

kubectl splits a stream at lines that begin with `---`, and gives each part to a YAML parser of its own (YAMLReader in
k8s.io/apimachinery/pkg/util/yaml). After `---`, such a line may have only a comment. A part with only a directive is an error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from rules_setcap.documents.json_text import is_json, replace_escapes
from rules_setcap.documents.yaml_loader import Loader, decode_text

if TYPE_CHECKING:
    from collections.abc import Iterable

_VERSION = re.compile(r"\A((?:[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n))*)%YAML[ \t][^\r\n]*(?:\r\n|\r|\n)", re.ASCII)
"""The directive %YAML at the begin of a file, after blank lines and comments."""
_MARKER = re.compile(r"---(?=\s|$)", re.ASCII)
_CONTENT_BESIDE_MARKER = re.compile(r"^---[ \t]+(?=[^\s#])", re.ASCII | re.MULTILINE)
"""The begin of a document on the line of its marker. In texts, lines that begin so are indented."""

_BLOCK_HEADER = re.compile(r"([|>])([1-9]?)[+-]?([1-9]?)", re.ASCII)
"""The begin of a block: style, indentation and chomping."""


def join_files(files: Iterable[bytes]) -> bytes:
    """Returns the documents of files as one stream.

    Args:
      files: the bytes of files that yaml_documents.parse_documents() has parsed, and whose documents are mappings or sequences.
    """
    pieces: list[str] = []
    for file in files:
        text = decode_text(file)
        if is_json(text):
            pieces += ["---\n", replace_escapes(text).rstrip(), "\n"]
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
    return "" if begin.startswith("%") or _MARKER.match(begin) else "---\n"


def _end_line(text: str) -> str:
    """Returns a text that ends with a line feed, which kubectl needs before the next marker, and has the same values.

    The line feed would belong to a block (| or >) at the end of the text, unless it has the indicator "-".
    """
    lines, newline, last = text.rpartition("\n")
    if not last.strip(" "):
        return lines + newline
    scalars = [token for token in yaml.scan(text, Loader=Loader) if isinstance(token, yaml.ScalarToken)]
    if scalars and scalars[-1].style in ("|", ">") and not scalars[-1].value.endswith("\n"):
        begin = scalars[-1].start_mark.index
        text = text[:begin] + _BLOCK_HEADER.sub(r"\1\2\3-", text[begin:], count=1)
    return text + "\n"
