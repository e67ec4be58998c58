"""Assigns capabilities to the entries of a layer.

A grant is the value of one attribute for one path, as the user wrote it:
`{"attribute": "linux_capabilities", "path": "/app/server", "capabilities": ["net_bind_service"]}`.
"""

from __future__ import annotations

import json
import posixpath
from collections import namedtuple

from rules_setcap import capabilities
from rules_setcap.archive.entry import FILE, HARDLINK, SYMLINK, Entry
from rules_setcap.archive.paths import normalize_path
from rules_setcap.diagnostics import limits, strict_json
from rules_setcap.diagnostics.errors import problem, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.executables.formats import BUILD_FOR_LINUX, find_system
from rules_setcap.packer.entries import no_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable



Grant = namedtuple("Grant", ("attribute", "path", "removed", "value"))
"""One grant, read. attribute, path: str; removed: bool, whether there are no words: no capabilities, rather than
an empty set; value: FileCapabilities, or None if there is none."""


def parse(texts: Iterable[str], problems: list[str]) -> list[Grant]:
    """The grants, each path once.

    Args:
      texts: JSON, as above.
      problems: gets what is wrong.
    """
    found: dict[str, Grant] = {}
    for text in texts:
        fields = json.loads(text)
        attribute, path, words = fields["attribute"], fields["path"], fields["capabilities"]
        value = None
        try:
            value = capabilities.from_list(words) if words else None
        except capabilities.CapabilityError as error:
            problems += [f"{attribute}: {text}" for text in error.problems]
        try:
            path = normalize_path(path)
        except ValueError as error:
            problems.append(problem(attribute, path, str(error)))
            continue
        if path in found:
            said = f"has capabilities from {found[path].attribute} already; keep one of the two"
            problems.append(problem(attribute, path, said))
            continue
        found[path] = Grant(attribute, path, not words, value)
    return list(found.values())


def held(file: str, path: str, problems: list[str]) -> list[str]:
    """Reads the capabilities of a path from a file; returns them as a text for parse(), or nothing if the file is invalid.

    Args:
      file: path of a JSON object: `capabilities`, a list of str, and `source`, str, where they are from.
      path: as JSON.
      problems: list to which problems are added.

    Raises:
      OSError: the file cannot be read.
    """
    with open_regular(file) as stream:
        data = stream.read(limits.CAPABILITIES_FILE + 1)
    if len(data) > limits.CAPABILITIES_FILE:
        problems.append(problem("linux_capabilities_from", file, f"is too large (limit CAPABILITIES_FILE: {limits.CAPABILITIES_FILE} bytes)"))
        return []
    try:
        fields = strict_json.parse_document(data)
    except strict_json.DocumentError:
        fields = None
    words = fields.get("capabilities") if isinstance(fields, dict) else None
    source = fields.get("source") if isinstance(fields, dict) else None
    if not isinstance(source, str) or not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        what = "must be a JSON object with source, a string, and capabilities, a list of strings"
        problems.append(problem("linux_capabilities_from", file, what))
        return []
    if not words:
        return []
    return [json.dumps({"attribute": source, "path": json.loads(path), "capabilities": words})]


def resolve(
    grants: Iterable[Grant], entries: dict[str, Entry], problems: list[str]
) -> dict[str, capabilities.FileCapabilities]:
    """The capabilities by path, of hard links as of what they link to.

    Args:
      grants: from parse().
      entries: the layer's, by path.
      problems: gets what is wrong with the entries that are to carry them.
    """
    found: dict[str, capabilities.FileCapabilities] = {}
    for attribute, path, _, value in grants:
        entry = entries.get(path)
        if entry is None:
            problems.append(problem(attribute, path, no_entry(path, entries)))
            continue
        if entry.type == HARDLINK and (target := entries.get(entry.target)):
            entry = target
        if entry.type == SYMLINK:
            problems.append(problem(attribute, path, describe_link(path, lambda at: _target(entries, at))))
        elif fault := unfit(entry.type, entry.mode, _start(entry)):
            problems.append(problem(attribute, path, fault))
        elif entry.path in found:
            problems.append(problem(attribute, path, f"the same file as {quote(entry.path)}, which has capabilities already; keep one"))
        elif value is not None:
            found[entry.path] = value
    for entry in entries.values():
        # An unpacker that calls lchown on a link clears the attribute of all: each says it again.
        if entry.type == HARDLINK and entry.target in found:
            found[entry.path] = found[entry.target]
    return found


START = 256
"""How many bytes of a file unfit() looks at: as many as the kernel does (BINPRM_BUF_SIZE, include/uapi/linux/binfmts.h)."""


def describe_link(path: str, target_of: Callable[[str], str | None]) -> str:
    """Returns why a symbolic link cannot carry capabilities, and which file to name instead.

    Args:
      path: of the link.
      target_of: returns the target of a symbolic link by its path; None for what is not one.
    """
    steps = [path]
    while len(steps) <= limits.LINKS and (target := target_of(steps[-1])) is not None:
        steps.append(posixpath.normpath(posixpath.join(posixpath.dirname(steps[-1]), target)))
    on_the_way = f" ({' -> '.join(map(quote, steps[1:]))})" if len(steps) > 2 else ""
    return f"a symbolic link; the kernel looks at the file it leads to{on_the_way}: name {quote(steps[-1])}"


def _target(entries: dict[str, Entry], path: str) -> str | None:
    entry = entries.get(path)
    return entry.target if entry and entry.type == SYMLINK else None


def unfit(type: str, mode: int, start: bytes | None) -> str:
    """Returns why an entry that is not a link cannot carry capabilities; "" if it can.

    Args:
      type: a type of entries.py.
      mode: permissions.
      start: the first START bytes of a file, or None if they are not known.
    """
    if type != FILE:
        return f"a {type}; capabilities are for programs"
    if mode & 0o111 == 0:
        return f'mode {mode:04o} has no execute bit; capabilities are for programs: set mode = "0755"'
    if start is None or start[:4] == b"\x7fELF":
        return ""
    if start[:2] == b"#!":
        words = start[2:].partition(b"\n")[0].split()
        name = f", {quote(words[0].decode('utf-8', 'replace'))}" if words else ""
        return f"a script; the kernel ignores its capabilities, and takes those of its interpreter{name}"
    if name := find_system(start):
        return f"a program for {name}; capabilities are for programs of Linux: {BUILD_FOR_LINUX}"
    return "not an ELF program; the kernel ignores its capabilities"


def _start(entry: Entry) -> bytes | None:
    """Returns the first bytes of a file; None if it cannot be read."""
    if not entry.source:
        return b""
    try:
        with open(entry.source, "rb") as file:
            return file.read(START)
    except OSError:
        return None  # Whoever packs it says so.
