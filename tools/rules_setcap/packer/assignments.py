"""Assigns capabilities to the entries of a layer.

The rules pass each assignment as a JSON object: the value of one attribute for one path, as the user wrote it, for
instance `{"attribute": "linux_capabilities", "path": "/app/server", "capabilities": ["net_bind_service"]}`.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import FILE, HARDLINK, SYMLINK, Entry
from rules_setcap.archive.paths import normalize_path
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.executables.formats import BUILD_FOR_LINUX, find_system
from rules_setcap.packer.unmatched_paths import describe_unmatched_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import Any

    from rules_setcap import capabilities
    from rules_setcap.diagnostics.problems import Problems

START = 256
"""The number of bytes that find_fault() needs of a file: as many as the kernel reads (BINPRM_BUF_SIZE,
include/uapi/linux/binfmts.h)."""

MODE_HINT = ': set mode = "0755"'
"""The end of a message about a file without execute bits: what to write in a rule."""


class Assignment:
    """The capabilities that an attribute assigns to a path.

    Attributes:
      attribute: the attribute, for messages.
      path: the path in the image.
      value: the capabilities; None if the file is to have none, not even an empty set.
    """

    __slots__ = ("attribute", "path", "value")

    def __init__(self, attribute: str, path: str, value: capabilities.FileCapabilities | None) -> None:
        """Creates an assignment; the arguments are its attributes."""
        self.attribute = attribute
        self.path = path
        self.value = value

    def move(self, path: str) -> Assignment:
        """Returns the same assignment for another path."""
        return Assignment(self.attribute, path, self.value)


def parse_assignments(requests: Collection[Mapping[str, Any]], problems: Problems) -> list[Assignment]:
    """Parses assignments.

    Args:
      requests: the assignments, as the rules pass them.
      problems: the collector of problems.

    Returns:
      The assignments, one for each path.
    """
    if not requests:
        return []
    from rules_setcap import capabilities  # Few layers need it, and importing it takes time.

    assignments: dict[str, Assignment] = {}
    for request in requests:
        attribute, path, words = request["attribute"], request["path"], request["capabilities"]
        value = None
        try:
            value = capabilities.from_list(words) if words else None
        except capabilities.CapabilityError as error:
            problems.extend(f"{attribute}: {text}" for text in error.problems)
        try:
            path = normalize_path(path)
        except ValueError as error:
            problems.add(attribute, path, str(error))
            continue
        if path in assignments:
            other = assignments[path].attribute
            what = f"has capabilities from {other} already" if other != attribute else "is there twice"
            what += "; keep one of the two"
            problems.add(attribute, path, what)
            continue
        assignments[path] = Assignment(attribute, path, value)
    return list(assignments.values())


def read_request(file: str, path: str, problems: Problems) -> list[Mapping[str, Any]]:
    """Reads the file of the attribute linux_capabilities_from.

    Args:
      file: a JSON object: `capabilities`, a list of strings, and `source`, a string that says where they come from.
      path: the path of the image's binary, to which the capabilities are assigned.
      problems: the collector of problems.

    Returns:
      The assignment, as parse_assignments() takes it, in a list; an empty list if the file is not valid or has no
      capabilities.

    Raises:
      OSError: the file cannot be read.
    """
    from rules_setcap.diagnostics import strict_json

    with open_regular(file) as stream:
        data = stream.read(limits.CAPABILITIES_FILE + 1)
    if len(data) > limits.CAPABILITIES_FILE:
        what = f"is too large (limit CAPABILITIES_FILE: {limits.CAPABILITIES_FILE} bytes)"
        problems.add("linux_capabilities_from", file, what)
        return []
    try:
        fields = strict_json.parse_document(data)
    except strict_json.DocumentError:
        fields = None
    words = fields.get("capabilities") if isinstance(fields, dict) else None
    source = fields.get("source") if isinstance(fields, dict) else None
    if not isinstance(source, str) or not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        what = "must be a JSON object with source, a string, and capabilities, a list of strings"
        problems.add("linux_capabilities_from", file, what)
        return []
    return [{"attribute": source, "path": path, "capabilities": words}] if words else []


def assign_capabilities(
    assignments: Iterable[Assignment], entries: Mapping[str, Entry], problems: Problems
) -> dict[str, capabilities.FileCapabilities]:
    """Finds the entry of each assignment, and checks that it can have capabilities.

    Args:
      assignments: the assignments, from parse_assignments().
      entries: the entries of the layer, by path.
      problems: the collector of problems.

    Returns:
      The capabilities by path. Hard links have those of the files that they link to.
    """
    assigned: dict[str, capabilities.FileCapabilities] = {}
    for assignment in assignments:
        attribute, path = assignment.attribute, assignment.path
        entry = entries.get(path)
        if entry is None:
            problems.add(attribute, path, describe_unmatched_entry(path, entries))
            continue
        if entry.type == HARDLINK and (target := entries.get(entry.target)):
            entry = target
        if entry.type == SYMLINK:
            problems.add(attribute, path, describe_link(path, lambda link: _find_link_target(entries, link)))
        elif fault := find_fault(entry.type, entry.mode, _read_start(entry)):
            problems.add(attribute, path, fault)
        elif entry.path in assigned:
            problems.add(attribute, path, f"the same file as {quote(entry.path)}, which has capabilities already; keep one")
        elif assignment.value is not None:
            assigned[entry.path] = assignment.value
    for entry in entries.values():
        # Unpackers that call lchown(2) on a hard link clear the attribute of the file, so each link repeats it.
        if entry.type == HARDLINK and entry.target in assigned:
            assigned[entry.path] = assigned[entry.target]
    return assigned


def describe_link(path: str, find_target: Callable[[str], str | None]) -> str:
    """Returns why a symbolic link cannot have capabilities, and which file to name instead.

    Args:
      path: the path of the link.
      find_target: returns the target of the symbolic link at a path; None if there is no symbolic link.
    """
    steps = [path]
    while (target := find_target(steps[-1])) is not None:
        step = posixpath.normpath(posixpath.join(posixpath.dirname(steps[-1]), target))
        if step in steps or len(steps) > limits.LINKS:
            return f"a symbolic link that leads to no file, because links go round at {quote(step)}; name a file"
        steps.append(step)
    on_the_way = f" ({' -> '.join(map(quote, steps[1:]))})" if len(steps) > 2 else ""
    return f"a symbolic link; the kernel looks at the file it leads to{on_the_way}: name {quote(steps[-1])}"


def find_fault(kind: str, mode: int, start: bytes | None) -> str:
    """Returns why an entry that is not a link cannot have capabilities; "" if it can.

    Args:
      kind: the type of the entry.
      mode: its permissions.
      start: the first START bytes of a file; None if they are not known.
    """
    if kind != FILE:
        return f"a {kind}; capabilities are for programs"
    if mode & 0o111 == 0:
        return f"mode {mode:04o} has no execute bit; capabilities are for programs{MODE_HINT}"
    if start is None or start[:4] == b"\x7fELF":
        return ""
    if start[:2] == b"#!":
        words = start[2:].partition(b"\n")[0].split()
        name = f", {quote(words[0].decode('utf-8', 'replace'))}" if words else ""
        return f"a script; the kernel ignores its capabilities, and takes those of its interpreter{name}: assign them to that, or to a program that starts the script"
    if name := find_system(start):
        return f"a program for {name}; capabilities are for programs of Linux: {BUILD_FOR_LINUX}"
    return "not an ELF program; the kernel ignores its capabilities"


def _find_link_target(entries: Mapping[str, Entry], path: str) -> str | None:
    entry = entries.get(path)
    return entry.target if entry and entry.type == SYMLINK else None


def _read_start(entry: Entry) -> bytes | None:
    """Returns the first bytes of a file; None if it cannot be read."""
    if not entry.source:
        return b""
    try:
        with open(entry.source, "rb") as file:
            return file.read(START)
    except OSError:
        return None  # The error is reported when the file is packed.
