"""YAML documents that are hostile until checked, with a path and a line for everything in them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

import yaml

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, problem, quote

# YAML 1.1, as Kubernetes and Compose read it (go-yaml's resolve.go), less the numbers to
# base 60, which neither of them has.
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset("y Y yes Yes YES on On ON true True TRUE".split())
_FALSE = frozenset("n N no No NO off Off OFF false False FALSE".split())
_INTEGER = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o[0-7_]+|0[0-7_]*|[1-9][0-9_]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)
_PLAIN, _QUOTED = "plain", "quoted"
_TAG = "tag:yaml.org,2002:"
_TEXT = _TAG + "str"
_TAGS = frozenset(_TAG + name for name in "binary bool float int map null seq str timestamp".split())
_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A SafeLoader that leaves it to the reader what a plain scalar means."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: object) -> str:
        """The tag of what has none: whether it is plain."""
        if kind is yaml.ScalarNode:
            return _PLAIN if isinstance(implicit, tuple) and implicit[0] else _QUOTED
        return ""


@dataclass(frozen=True)
class Node:
    """A YAML node.

    Attributes:
      value: text of a scalar, nodes by key of a mapping, nodes of a sequence.
      line: counted from 1.
      plain: whether it is a scalar without quotes, so that it may be more than text.
      tag: what stands before it, such as "!reset"; mostly empty.
    """

    value: str | dict[str, Node] | list[Node]
    line: int
    plain: bool = False
    tag: str = ""

    @property
    def null(self) -> bool:
        """Whether it says nothing."""
        return self.plain and self.value in _NULL


@dataclass(frozen=True)
class Field:
    """A place in a document.

    Attributes:
      node: what is there.
      file: the name of the file, for messages.
      path: from the top of the document: "spec.containers[0].name"; "" for the top.
      problems: where problems of the whole document are collected, each once, in order.
    """

    node: Node
    file: str
    path: str = ""
    problems: dict[str, None] = field(default_factory=dict, compare=False, repr=False)

    @property
    def where(self) -> str:
        """What a message about this place starts with."""
        return f"{self.file}:{self.node.line}" + (f": {self.path}" if self.path else "")

    def problem(self, what: str, value: object = None) -> None:
        """Adds one problem; `value` is what is here unless given."""
        if value is None:
            value = self.node.value if isinstance(self.node.value, str) else self._kind()
        self.problems.setdefault(problem(self.where, value, what))

    def _kind(self) -> str:
        if isinstance(self.node.value, str):
            return "text"
        return "a mapping" if isinstance(self.node.value, dict) else "a list"

    def _below(self, node: Node, key: str | int) -> Field:
        if isinstance(key, int):
            path = f"{self.path}[{key}]"
        elif _KEY.fullmatch(key):
            path = f"{self.path}.{key}" if self.path else key
        else:
            path = f"{self.path}[{quote(key)}]"
        return Field(node, self.file, path, self.problems)

    def fields(self) -> dict[str, Field]:
        """What a mapping has, without what is null; a problem if it is none."""
        if not isinstance(self.node.value, dict):
            if not self.node.null:
                self.problem("not a mapping")
            return {}
        return {key: self._below(node, key) for key, node in self.node.value.items() if not node.null}

    def get(self, key: str, null: bool = False) -> Field | None:
        """What a mapping has for a key; None if nothing, or null unless that is wanted too."""
        if isinstance(self.node.value, dict):
            node = self.node.value.get(key)
            return None if node is None or (node.null and not null) else self._below(node, key)
        return self.fields().get(key)

    def at(self, *keys: str) -> Field | None:
        """What is below, step by step."""
        found: Field | None = self
        for key in keys:
            found = found.get(key) if found else None
        return found

    def items(self) -> list[Field]:
        """The members of a list; a problem if it is none."""
        if not isinstance(self.node.value, list):
            if not self.node.null:
                self.problem("not a list")
            return []
        return [self._below(node, number) for number, node in enumerate(self.node.value)]

    def text(self) -> str | None:
        """A text; a problem if it is something else."""
        value = self.node.value
        if not isinstance(value, str):
            self.problem("not a text")
        elif self.node.plain and (value in _NULL | _TRUE | _FALSE or _INTEGER.fullmatch(value) or _FLOAT.fullmatch(value)):
            self.problem("not a text to YAML; put it in quotes")
        else:
            return value
        return None

    def scalar(self) -> str | None:
        """The text of a text, number or boolean; a problem if it is something else."""
        if isinstance(self.node.value, str):
            return self.node.value
        self.problem("not a text")
        return None

    def boolean(self) -> bool | None:
        """A boolean; a problem if it is something else."""
        if self.node.plain and self.node.value in _TRUE:
            return True
        if self.node.plain and self.node.value in _FALSE:
            return False
        self.problem("must be true or false")
        return None

    def integer(self) -> int | None:
        """An integer; a problem if it is something else, or has more than 64 bits."""
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


def load(data: bytes, file: str, tags: Collection[str] = ()) -> list[Field]:
    """Reads the documents of a YAML file, without empty ones. Each has its own problems.

    Args:
      data: the file's bytes.
      file: its name, for messages.
      tags: those that may be there, besides YAML's own.

    Raises:
      InputError: it is no YAML, or more than any honest file.
    """
    try:
        if len(data) > limits.YAML:
            raise _Refused(0, f"is too large (limit YAML: {limits.YAML} bytes)")
        text = data.decode("utf-8-sig")
        _check(text)
        documents = []
        for node in yaml.compose_all(text, _Loader):
            if node is not None:
                reader = _Reader(file, tags)
                documents.append(Field(reader.node(node), file, "", reader.problems))
    except UnicodeDecodeError as error:
        raise InputError([problem(file, data[error.start : error.start + 1].hex(), f"no UTF-8, at byte {error.start}")]) from None
    except _Refused as error:
        raise InputError([f"{file}:{error.line}: {error}" if error.line else f"{file}: {error}"]) from None
    except yaml.YAMLError as error:
        raise InputError([_syntax(error, file, data)]) from None
    return [document for document in documents if not document.node.null]


class _Refused(Exception):
    """A document that is not read any further."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


def _check(text: str) -> None:
    """Bounds how deep a file is, and how large with its aliases written out.

    It looks at the parser's events only, so that neither recursion nor memory can run away.
    """
    sizes: dict[str, int] = {}
    count, most = 0, limits.YAML_NODES_FREE + len(text) // limits.YAML_BYTES_PER_NODE
    open_: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, Loader=_Loader):
        size, anchor = 1, getattr(event, "anchor", None)
        line = event.start_mark.line + 1 if event.start_mark else 1
        count += isinstance(event, yaml.NodeEvent)
        if count > most:
            what = f"limit YAML_NODES_FREE: {limits.YAML_NODES_FREE}, and one for each {limits.YAML_BYTES_PER_NODE} bytes"
            raise _Refused(line, f"too many values for its size ({what})")
        if isinstance(event, yaml.DocumentStartEvent):
            sizes.clear()
            continue
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((anchor, 1))
            if len(open_) > limits.YAML_DEPTH:
                raise _Refused(line, f"nested too deep (limit YAML_DEPTH: {limits.YAML_DEPTH})")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_.pop()
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == outer for outer, _ in open_):
                raise _Refused(line, f"{quote('*' + str(anchor))} is inside what it stands for")
            size, anchor = sizes.get(anchor or "", 1), None
        elif not isinstance(event, yaml.ScalarEvent):
            continue
        if anchor is not None:
            sizes[anchor] = size
        if open_:
            outer, sum_ = open_[-1]
            open_[-1] = (outer, sum_ + size)
            if sum_ + size > limits.YAML_VALUES:
                raise _Refused(line, f"too many values, with aliases written out (limit YAML_VALUES: {limits.YAML_VALUES})")


class _Reader:
    """Our nodes of PyYAML's. Their depth is bounded by _check."""

    def __init__(self, file: str, tags: Collection[str]) -> None:
        self.file = file
        self.tags = _TAGS.union(tags, ("", _PLAIN, _QUOTED))
        self.problems: dict[str, None] = {}
        self.known: dict[int, Node] = {}

    def node(self, node: yaml.Node) -> Node:
        if id(node) in self.known:
            return self.known[id(node)]
        line = node.start_mark.line + 1
        if node.tag not in self.tags:
            self.problems.setdefault(problem(f"{self.file}:{line}", node.tag, "unknown tag"))
        value: str | dict[str, Node] | list[Node] = node.value
        if isinstance(node, yaml.MappingNode):
            value = self.mapping(node)
        elif isinstance(node, yaml.SequenceNode):
            value = [self.node(item) for item in node.value]
        plain = isinstance(value, str) and node.tag not in (_QUOTED, _TEXT)
        tag = node.tag if node.tag.startswith("!") else ""
        self.known[id(node)] = made = Node(value, line, plain, tag)
        return made

    def mapping(self, node: yaml.MappingNode) -> dict[str, Node]:
        """The members of a mapping; those of merge keys (https://yaml.org/type/merge.html) come last."""
        own: dict[str, Node] = {}
        merged: list[Node] = []
        for key, item in node.value:
            where = f"{self.file}:{key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                hint = _TEMPLATE if isinstance(key, yaml.MappingNode) else ""
                self.problems.setdefault(f"{where}: a key that is no text{hint}")
            elif key.value == "<<" and key.tag == _PLAIN:
                other = self.node(item)
                merged += other.value if isinstance(other.value, list) else [other]
            elif key.value in own:
                first = own[key.value].line
                self.problems.setdefault(problem(where, key.value, f"a second time in one mapping; the first is in line {first}"))
            else:
                own[key.value] = self.node(item)
        for other in merged:
            if not isinstance(other.value, dict):
                self.problems.setdefault(problem(f"{self.file}:{other.line}", "<<", "merges something that is no mapping"))
                continue
            for name, value in other.value.items():
                own.setdefault(name, value)
        return own


_TEMPLATE = "; if this is a template, give what it makes, as of helm template"


def _syntax(error: yaml.YAMLError, file: str, data: bytes) -> str:
    """One line for what PyYAML says in several."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).partition("\n")[0]
    line = f":{mark.line + 1}" if mark else ""
    hint = _TEMPLATE if b"{{" in data else ""
    return f"{file}{line}: invalid YAML: {what}{hint}"
