"""Finds the images that MODULE.bazel pulls, and replaces their digests. Everything else in the file stays as it is.

The file is Starlark, whose syntax Python parses too. Files that MODULE.bazel includes are read as well.
"""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.files import open_regular, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rules_setcap.diagnostics.problems import Problems

_EXTENSION = "rules/extensions.bzl"
_TEXTS, _FLAGS, _LISTS = ("digest", "image", "name", "tag"), ("insecure",), ("platforms",)


@dataclass(frozen=True, slots=True)
class Span:
    """The place of a string in a file: offsets in bytes, with the quotes."""

    path: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Pull:
    """A call of bases.pull.

    Attributes:
      name: the name of the repository.
      image: the repository in the registry.
      digest: the digest; "" if there is none yet.
      tag: the tag; "" if there is none.
      platforms: the platforms of the index that are fetched; empty for all.
      insecure: whether to allow plain HTTP.
      span: the place of the digest; None if there is none yet.
    """

    name: str
    image: str
    digest: str = ""
    tag: str = ""
    platforms: list[str] = field(default_factory=list)
    insecure: bool = False
    span: Span | None = None


def read_pulls(workspace: str, problems: Problems) -> list[Pull]:
    """Returns the images that the MODULE.bazel of a workspace pulls, in the order of the file.

    Args:
      workspace: the path of the workspace.
      problems: the collector of problems: calls whose arguments are not literal.

    Raises:
      InputError: a file is not valid.
    """
    pulls: list[Pull] = []
    pending, read = ["MODULE.bazel"], set()
    while pending:
        name = pending.pop(0)
        if name in read:
            continue
        read.add(name)
        path = os.path.join(workspace, name)
        data = _read_source(path, name)
        tree = _parse_source(data, name)
        pending += _list_includes(tree)
        offsets = _list_line_offsets(data)
        calls = (_read_call(call, name, path, offsets, problems) for call in _list_pull_calls(tree))
        pulls += [pull for pull in calls if pull]
    return pulls


def replace_digests(digests: Iterable[tuple[Span, str]]) -> None:
    """Replaces digests, and nothing else.

    Args:
      digests: the place and the new digest of each.

    Raises:
      OSError: a file cannot be written.
    """
    by_path: dict[str, list[tuple[Span, str]]] = {}
    for span, digest in digests:
        by_path.setdefault(span.path, []).append((span, digest))
    for path, changes in by_path.items():
        with open_regular(path) as file:
            data = file.read()
        for span, digest in sorted(changes, key=lambda change: change[0].start, reverse=True):
            quotes = data[span.start : span.start + 1]
            data = data[: span.start] + quotes + digest.encode() + quotes + data[span.end :]
        write_whole(os.path.realpath(path), data)


def _read_source(path: str, name: str) -> bytes:
    try:
        with open_regular(path) as file:
            data = file.read(limits.VALUES + 1)
    except OSError as error:
        raise InputError([format_problem("file", name, f"{error.strerror}; run the program in a workspace of Bazel")]) from None
    if len(data) > limits.VALUES:
        raise InputError([format_problem("file", name, f"is larger than {limits.VALUES} bytes (limit VALUES)")])
    return data


def _parse_source(data: bytes, name: str) -> ast.Module:
    try:
        return ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = f"line {error.lineno}, " if isinstance(error, SyntaxError) and error.lineno else ""
        raise InputError([format_problem("file", name, f"{place}is not valid Starlark")]) from None


def _list_line_offsets(data: bytes) -> list[int]:
    """Returns the offset of each line in bytes."""
    offsets = [0]
    for line in data.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    return offsets


def _list_includes(tree: ast.Module) -> Iterator[str]:
    """Yields the paths of the files that a file includes: include("//path:name.MODULE.bazel")."""
    for node in tree.body:
        match node:
            case ast.Expr(ast.Call(ast.Name("include"), [ast.Constant(str() as label)])) if label.startswith("//"):
                yield label.removeprefix("//").replace(":", "/", 1).lstrip("/")


def _list_pull_calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Yields the calls bases.pull(...), whatever the name of the variable is."""
    proxies = set()
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                [ast.Name(variable)], ast.Call(ast.Name("use_extension"), [ast.Constant(str() as file), ast.Constant("bases")])
            ):
                if file.replace(":", "/").endswith(f"//{_EXTENSION}"):
                    proxies.add(variable)
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Attribute(ast.Name(variable), "pull")) if variable in proxies:
                yield node


def _read_call(call: ast.Call, name: str, path: str, offsets: list[int], problems: Problems) -> Pull | None:
    """Returns a pull; None if an argument is not literal, with a problem for each.

    Args:
      call: the call.
      name: the name of the file, for messages.
      path: its path.
      offsets: the offsets of its lines.
      problems: the collector of problems.
    """
    values: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    count = len(problems)
    for argument in call.keywords:
        if argument.arg not in (*_TEXTS, *_FLAGS, *_LISTS):
            continue
        try:
            value = ast.literal_eval(argument.value)
        except ValueError:
            value = None
        expected = str if argument.arg in _TEXTS else bool if argument.arg in _FLAGS else list
        if not isinstance(value, expected):
            where = f"{name}, line {argument.lineno}"
            problems.add(argument.arg, where, "is not a literal; write the value itself, so that it can be read and replaced")
            continue
        values[argument.arg] = value
        node = argument.value
        assert node.end_lineno is not None and node.end_col_offset is not None
        spans[argument.arg] = Span(
            path, offsets[node.lineno - 1] + node.col_offset, offsets[node.end_lineno - 1] + node.end_col_offset
        )
    for key in ("name", "image"):
        if len(problems) == count and not values.get(key):
            problems.add(key, f"{name}, line {call.lineno}", "is missing in this bases.pull; write it")
    return Pull(**values, span=spans.get("digest")) if len(problems) == count else None


def choose_pulls(pulls: Iterable[Pull], names: Iterable[str]) -> list[Pull]:
    """Returns the pulls with the given names; all without names.

    Raises:
      InputError: there is no pull of a name; there is a problem for each.
    """
    by_name: Mapping[str, Pull] = {pull.name: pull for pull in pulls}
    if not names:
        return list(by_name.values())
    known = ", ".join(map(quote, by_name)) or "none"
    unknown = [
        format_problem("name", name, f"MODULE.bazel pulls no such base; it pulls {known}")
        for name in names
        if name not in by_name
    ]
    if unknown:
        raise InputError(unknown)
    return [by_name[name] for name in names]
