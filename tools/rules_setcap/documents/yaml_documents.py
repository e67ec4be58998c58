"""Reads YAML documents. Every value has its path and its line, for messages.

A file may be hostile, so it is checked against limits before it is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.documents.json_text import FILLER, mask_surrogates
from rules_setcap.documents.yaml_errors import TEMPLATE, describe_syntax_error
from rules_setcap.documents.yaml_loader import PLAIN, QUOTED, Loader, RefusedError, check_limits, decode_text

if TYPE_CHECKING:
    from collections.abc import Collection

# YAML 1.1, as Kubernetes, Compose and ko read it (resolve.go of go-yaml), without numbers to base 60, which they do not have.
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"])
_INTEGER = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o[0-7_]+|0[0-7_]*|[1-9][0-9_]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)
_TAG = "tag:yaml.org,2002:"
_TEXT = _TAG + "str"
_TAGS = frozenset(_TAG + name for name in ["binary", "bool", "float", "int", "map", "null", "seq", "str", "timestamp"])
_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True)
class Node:
    """A YAML node.

    Attributes:
      value: the text of a scalar, the nodes of a mapping by key, or the nodes of a sequence.
      line: the line, counted from 1.
      plain: whether it is a scalar without quotes, which may be something else than text.
      tag: the tag that is written before it, such as "!reset"; "" if there is none.
      span: where it begins and ends in yaml_loader.decode_text() of the file, in characters. The anchor and the tag before it
        belong to it. The span of an alias is that of the value that it stands for.
    """

    value: str | dict[str, Node] | list[Node]
    line: int
    plain: bool = False
    tag: str = ""
    span: tuple[int, int] = (0, 0)

    @property
    def null(self) -> bool:
        """Whether it is null."""
        return self.plain and self.value in _NULL


@dataclass(frozen=True)
class Field:
    """A place in a document, and the node there.

    Attributes:
      node: the node.
      file: the name of the file, for messages.
      path: the path from the top of the document, such as "spec.containers[0].name"; "" for the top.
      problems: the problems of the whole document, each once, in order.
    """

    node: Node
    file: str
    path: str = ""
    problems: dict[str, None] = field(default_factory=dict, compare=False, repr=False)

    @property
    def where(self) -> str:
        """The file, line and path with which messages begin."""
        return f"{self.file}:{self.node.line}" + (f": {self.path}" if self.path else "")

    def problem(self, what: str, value: object = None) -> None:
        """Adds a problem.

        Args:
          what: what is wrong.
          value: the value that the message shows; None for that of the node.
        """
        if value is None:
            value = self.node.value if isinstance(self.node.value, str) else self._describe_kind()
        self.problems.setdefault(format_problem(self.where, value, what))

    def fields(self) -> dict[str, Field]:
        """Returns the fields of a mapping that are not null; adds a problem if the node is not a mapping."""
        if not isinstance(self.node.value, dict):
            if not self.node.null:
                self.problem("not a mapping")
            return {}
        return {key: self._find_below(node, key) for key, node in self.node.value.items() if not node.null}

    def get(self, key: str, null: bool = False) -> Field | None:
        """Returns one field of a mapping; adds a problem if the node is not a mapping.

        Args:
          key: the key.
          null: whether to return a field that is null.

        Returns:
          The field; None if there is none.
        """
        if isinstance(self.node.value, dict):
            node = self.node.value.get(key)
            return None if node is None or (node.null and not null) else self._find_below(node, key)
        return self.fields().get(key)

    def at(self, *keys: str) -> Field | None:
        """Returns the field that a sequence of keys leads to; None if there is none."""
        below: Field | None = self
        for key in keys:
            below = below.get(key) if below else None
        return below

    def items(self) -> list[Field]:
        """Returns the items of a list; adds a problem if the node is not a list."""
        if not isinstance(self.node.value, list):
            if not self.node.null:
                self.problem("not a list")
            return []
        return [self._find_below(node, number) for number, node in enumerate(self.node.value)]

    def text(self) -> str | None:
        """Returns the value of a text; None, and adds a problem, if it is something else."""
        value = self.node.value
        if not isinstance(value, str):
            self.problem("not a text")
        elif self.node.plain and (value in _NULL | _TRUE | _FALSE or _INTEGER.fullmatch(value) or _FLOAT.fullmatch(value)):
            self.problem("not a text to YAML; put it in quotes")
        else:
            return value
        return None

    def scalar(self) -> str | None:
        """Returns a text, number or boolean as it is written; None, and adds a problem, if it is something else."""
        if isinstance(self.node.value, str):
            return self.node.value
        self.problem("not a text")
        return None

    def boolean(self) -> bool | None:
        """Returns the value of a boolean; None, and adds a problem, if it is something else."""
        if self.node.plain and self.node.value in _TRUE:
            return True
        if self.node.plain and self.node.value in _FALSE:
            return False
        self.problem("must be true or false")
        return None

    def integer(self) -> int | None:
        """Returns the value of an integer; None, and adds a problem, if it is something else or does not fit in 64 bits."""
        value = self.node.value
        if not isinstance(value, str) or not self.node.plain or not _INTEGER.fullmatch(value):
            self.problem("not a whole number")
            return None
        digits = value.replace("_", "").lstrip("+-")
        base = {"0x": 16, "0b": 2, "0o": 8}.get(digits[:2], 8 if digits.startswith("0") else 10)
        digits = (digits[2:] if digits[1:2] in ("x", "b", "o") else digits) or "0"
        if len(digits) > 64 or not int(digits, base) < 1 << 63:
            self.problem("a number of more than 64 bits")
            return None
        return -int(digits, base) if value.startswith("-") else int(digits, base)

    def _describe_kind(self) -> str:
        if isinstance(self.node.value, str):
            return "text"
        return "a mapping" if isinstance(self.node.value, dict) else "a list"

    def _find_below(self, node: Node, key: str | int) -> Field:
        if isinstance(key, int):
            path = f"{self.path}[{key}]"
        elif _KEY.fullmatch(key):
            path = f"{self.path}.{key}" if self.path else key
        else:
            path = f"{self.path}[{quote(key)}]"
        return Field(node, self.file, path, self.problems)


def parse_documents(data: bytes, file: str, tags: Collection[str] = ()) -> list[Field]:
    """Parses the documents of a YAML file.

    Args:
      data: the bytes of the file.
      file: its name, for messages.
      tags: the tags that it may have besides those of YAML.

    Returns:
      The documents, without empty ones. Each has problems of its own.

    Raises:
      InputError: the file is not YAML, or exceeds a limit.
    """
    try:
        if len(data) > limits.YAML:
            raise RefusedError(0, f"is too large (limit YAML: {limits.YAML} bytes)")
        unmasked = decode_text(data)
        text = mask_surrogates(unmasked)
        check_limits(text)
        documents = []
        for node in yaml.compose_all(text, Loader):
            if node is not None:
                converter = _NodeConverter(file, tags, filler="" if text is unmasked else FILLER)
                documents.append(Field(converter.convert(node), file, "", converter.problems))
    except UnicodeDecodeError as error:
        byte = data[error.start : error.start + 1].hex()
        raise InputError([format_problem(file, byte, f"not UTF-8 at byte {error.start}")]) from None
    except RefusedError as error:
        raise InputError([f"{file}:{error.line}: {error}" if error.line else f"{file}: {error}"]) from None
    except yaml.YAMLError as error:
        raise InputError([describe_syntax_error(error, file, data)]) from None
    return [document for document in documents if not document.node.null]


class _NodeConverter:
    """Converts the nodes of PyYAML into ours. check_limits() has limited their depth.

    Attributes:
      problems: the problems of the document, each once, in order.
    """

    def __init__(self, file: str, tags: Collection[str], filler: str = "") -> None:
        """Creates a converter.

        Args:
          file: the name of the file, for messages.
          tags: the tags that it may have besides those of YAML.
          filler: a character that is removed from scalars; "" for none.
        """
        self.problems: dict[str, None] = {}
        self._file = file
        self._filler = filler
        self._tags = _TAGS.union(tags, ("", PLAIN, QUOTED))
        self._converted: dict[int, Node] = {}  # By identity, because aliases repeat nodes.

    def convert(self, node: yaml.Node) -> Node:
        if id(node) in self._converted:
            return self._converted[id(node)]
        line = node.start_mark.line + 1
        if node.tag not in self._tags:
            self.problems.setdefault(format_problem(f"{self._file}:{line}", node.tag, "unknown tag"))
        value: str | dict[str, Node] | list[Node] = node.value
        if isinstance(node, yaml.MappingNode):
            value = self._convert_mapping(node)
        elif isinstance(node, yaml.SequenceNode):
            value = [self.convert(item) for item in node.value]
        elif self._filler:
            value = node.value.replace(self._filler, "")
        plain = isinstance(value, str) and node.tag not in (QUOTED, _TEXT)
        tag = node.tag if node.tag.startswith("!") else ""
        span = (node.start_mark.index, node.end_mark.index)
        self._converted[id(node)] = converted = Node(value, line, plain, tag, span)
        return converted

    def _convert_mapping(self, node: yaml.MappingNode) -> dict[str, Node]:
        """Returns the nodes of a mapping by key; those of merge keys (https://yaml.org/type/merge.html) come last."""
        own: dict[str, Node] = {}
        merged: list[Node] = []
        for key, item in node.value:
            where = f"{self._file}:{key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                hint = TEMPLATE if isinstance(key, yaml.MappingNode) else ""
                self.problems.setdefault(f"{where}: a key that is not text{hint}")
            elif key.value == "<<" and key.tag == PLAIN:
                other = self.convert(item)
                merged += other.value if isinstance(other.value, list) else [other]
            elif key.value in own:
                first = own[key.value].line
                what = f"a second time in one mapping; the first is in line {first}"
                self.problems.setdefault(format_problem(where, key.value, what))
            else:
                own[key.value] = self.convert(item)
        for other in merged:
            if not isinstance(other.value, dict):
                self.problems.setdefault(
                    format_problem(f"{self._file}:{other.line}", "<<", "merges a value that is not a mapping")
                )
                continue
            for name, value in other.value.items():
                own.setdefault(name, value)
        return own
