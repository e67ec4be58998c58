"""Which entry carries which capabilities.

A grant is what one attribute says of one path, with the words of the user:
`{"attribute": "linux_capabilities", "path": "/app/server", "capabilities": ["net_bind_service"]}`.
"""

from __future__ import annotations

import json

import capabilities

from .entries import DIRECTORY, HARDLINK, SYMLINK, Entry, clean, no_entry
from .errors import problem, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable


def resolve(
    grants: Iterable[str], entries: dict[str, Entry], problems: list[str]
) -> dict[str, capabilities.FileCapabilities]:
    """The capabilities by path, of hard links as of what they link to.

    Args:
      grants: JSON, as above.
      entries: the layer's, by path.
      problems: gets what is wrong: with the text, and with the entry that is to carry it.
    """
    found: dict[str, capabilities.FileCapabilities] = {}
    said: dict[str, str] = {}
    for text in grants:
        grant = json.loads(text)
        attribute, path, words = grant["attribute"], grant["path"], grant["capabilities"]
        value = None
        try:
            value = capabilities.from_list(words)
        except capabilities.CapabilityError as error:
            problems += [f"{attribute}: {text}" for text in error.problems]
        try:
            path = clean(path)
        except ValueError as error:
            problems.append(problem(attribute, path, str(error)))
            continue
        entry = entries.get(path)
        fault = no_entry(path, entries) if entry is None else _unfit(entry, entries)
        if fault:
            problems.append(problem(attribute, path, fault))
            continue
        if entry is not None and entry.type == HARDLINK:
            path = entry.target
        if path in said:
            problems.append(problem(attribute, path, f"has capabilities from {said[path]} already; keep one of the two"))
        said[path] = attribute
        if value is not None:
            found[path] = value
    for entry in entries.values():
        # An unpacker that calls lchown on a link clears the attribute of all: each says it again.
        if entry.type == HARDLINK and entry.target in found:
            found[entry.path] = found[entry.target]
    return found


def _unfit(entry: Entry, entries: dict[str, Entry]) -> str:
    """Why an entry cannot carry capabilities; "" if it can."""
    if entry.type == SYMLINK:
        return f"a symbolic link; the kernel looks at the file it leads to, {quote(entry.target)}: name that"
    if entry.type == DIRECTORY:
        return "a directory; capabilities are for programs"
    if entry.type == HARDLINK:
        entry = entries.get(entry.target, entry)
    if entry.mode & 0o111 == 0:
        return f'mode {entry.mode:04o} has no execute bit; capabilities are for programs: set mode = "0755"'
    magic = b""
    if entry.source:
        try:
            with open(entry.source, "rb") as file:
                magic = file.read(4)
        except OSError:
            return ""  # Whoever packs it says so.
    if magic[:2] == b"#!":
        return "a script; the kernel ignores its capabilities, and takes those of the interpreter"
    if magic != b"\x7fELF":
        return "no ELF program; the kernel gives capabilities to those alone"
    return ""
