"""Reads the capabilities of a build from a `.ko.yaml`: `builds`, and of one of them `id` and `linux_capabilities`.

The file is read as YAML's node graph, and only on the way to that field: nothing is
constructed, so that aliases and tags cost what they are long, and every message has a line.
"""

from __future__ import annotations

import difflib
from collections import Counter
from typing import NamedTuple

import yaml

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.ko.errors import ConfigError, quote
from rules_setcap.ko.meaning import terms

FIELD = "linux_capabilities"

_STRINGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:value")  # A plain = is a value to YAML 1.1, a string to ko.
_LIST, _NULL, _MERGE = "tag:yaml.org,2002:seq", "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"


class Capabilities(NamedTuple):
    """What a build asks for.

    Attributes:
      where: the file, the line, the build and the field, for messages.
      written: what stands there, str or list of str.
    """

    where: str
    written: str | list[str]

    @property
    def items(self) -> list[str]:
        """As `linux_capabilities` of an image has it: a string is one text of clauses."""
        if isinstance(self.written, list):
            return self.written
        return [self.written] if terms(self.written) else []

    @property
    def terms(self) -> list[str]:
        """As ko has it: a string is cut at spaces."""
        return self.written if isinstance(self.written, list) else terms(self.written)


class _Loader(yaml.SafeLoader):
    """Stops at a depth that no configuration has, before Python's stack does."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        self.depth += 1
        if self.depth > limits.YAML_DEPTH:
            raise yaml.YAMLError(f"nested too deep (limit YAML_DEPTH: {limits.YAML_DEPTH})")
        node: yaml.Node | None = super().compose_node(parent, index)  # type: ignore[arg-type]
        self.depth -= 1
        return node


def read(path: str, name: str, build: str) -> Capabilities:
    """The capabilities of a build.

    Args:
      path: of the file.
      name: the file's, for messages.
      build: the build's `id`; "" for the only one. ko calls those without `#0`, `#1` and so on.

    Raises:
      ConfigError: the file is none of ko's, or has no such build or field.
      OSError: it cannot be read.
    """
    root = _compose(path, name)
    builds = _value(root, "builds", name)
    if builds is None:
        raise ConfigError(f"{name}: has no builds")
    if not isinstance(builds, yaml.SequenceNode) or not builds.value:
        raise ConfigError(f"{_at(name, builds)}: builds is no list of builds")
    known: dict[str, list[yaml.Node]] = {}
    for number, node in enumerate(builds.value):
        found = _value(node, "id", name)
        if found is not None and not isinstance(found, yaml.ScalarNode):
            raise ConfigError(f"{_at(name, found)}: id is no string")
        known.setdefault(found.value if found is not None else f"#{number}", []).append(node)
    if not build and len(builds.value) > 1:
        raise ConfigError(f"{name}: has {len(builds.value)} builds; say which: build = {' or '.join(map(quote, known))}")
    chosen = build or next(iter(known))
    if chosen not in known:
        raise ConfigError(f"{name}: has no build {quote(chosen)}; it has {', '.join(map(quote, known))}")
    if len(known[chosen]) > 1:
        lines = " and ".join(str(node.start_mark.line + 1) for node in known[chosen])
        raise ConfigError(f"{name}: {len(known[chosen])} builds have the id {quote(chosen)}, in lines {lines}")
    return _capabilities(known[chosen][0], name, chosen)


def _capabilities(node: yaml.Node, name: str, build: str) -> Capabilities:
    where = f"{name}: build {quote(build)}"
    field = _value(node, FIELD, where)
    if field is None or field.tag == _NULL:
        near = difflib.get_close_matches(FIELD, [key.value for key, _ in node.value if isinstance(key.value, str)], n=1)
        if near and near[0] != FIELD:
            raise ConfigError(f"{where}: has no {FIELD}; is {quote(near[0])} meant to be that?")
        raise ConfigError(f"{where}: has no {FIELD}; write [] there for none, or take nothing from it here")
    where = f"{_at(name, field)}: build {quote(build)}: {FIELD}"
    if isinstance(field, yaml.SequenceNode) and field.tag == _LIST:
        return Capabilities(where, [_string(item, where) for item in field.value])
    return Capabilities(where, _string(field, where))


def _compose(path: str, name: str) -> yaml.Node:
    """The one document of the file."""
    with open_regular(path) as file:
        data = file.read(limits.KO_CONFIG + 1)
    if len(data) > limits.KO_CONFIG:
        raise ConfigError(f"{name}: is too large for a configuration of ko (limit KO_CONFIG: {limits.KO_CONFIG} bytes)")
    try:
        root = yaml.compose(data, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{line}: invalid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        said = getattr(error, "reason", None) or str(error)
        raise ConfigError(f"{name}: invalid YAML: {said.splitlines()[0]}") from None
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{name}: no configuration of ko: a mapping with builds")
    return root


def _value(node: yaml.Node, key: str, where: str) -> yaml.Node | None:
    """What a mapping has under a key, its own or merged (`<<`); None if it has nothing.

    Raises:
      ConfigError: it is no mapping, or has a key twice.
    """
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{_at(where, node)}: no mapping")
    mappings, seen = [node], {id(node)}
    for mapping in mappings:  # Each once, however often it is named; the first that has the key counts.
        names = Counter(name.value for name, _ in mapping.value if isinstance(name, yaml.ScalarNode))
        for name, value in mapping.value:
            if isinstance(name, yaml.ScalarNode) and names[name.value] > 1:
                raise ConfigError(f"{_at(where, name)}: has {quote(name.value)} twice")
            if name.tag == _MERGE:
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for each in merged:
                    if isinstance(each, yaml.MappingNode) and id(each) not in seen:
                        seen.add(id(each))
                        mappings.append(each)
        found: yaml.Node | None = next((value for name, value in mapping.value if name.value == key and name.tag != _MERGE), None)
        if found is not None:
            return found
    return None


def _string(node: yaml.Node, where: str) -> str:
    """A string.

    Raises:
      ConfigError: it is something else, which ko would make a string of.
    """
    if isinstance(node, yaml.ScalarNode) and node.tag in _STRINGS:
        text: str = node.value
        return text
    if isinstance(node, yaml.ScalarNode):
        kind = node.tag.rpartition(":")[2]
        raise ConfigError(f"{where}: {quote(node.value)} is no string but {kind} to YAML; put it into quotes, or write a name")
    raise ConfigError(f"{where}: no string, nor a list of strings")


def _at(name: str, node: yaml.Node) -> str:
    """The file and the line."""
    return f"{name}:{node.start_mark.line + 1}"
