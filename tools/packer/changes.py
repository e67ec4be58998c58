"""What a target says of single entries: mode, owner, extended attributes.

A change is what one attribute says of one path, with the words of the user:
`{"attribute": "modes", "path": "/etc/data", "mode": "0644"}`, or `owner` ("uid:gid"), or
`xattrs` (a list of "name=value").
"""

from __future__ import annotations

import binascii
import json
import re

from .entries import HARDLINK, MAX_ID, Entry, clean, no_entry, read_mode
from .errors import problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable

_MAX_VALUE = 65536  # XATTR_SIZE_MAX, linux/limits.h
_MAX_NAME = 255  # XATTR_NAME_MAX
# Go's archive/tar, and so container engines, reads pax headers of up to 1 MiB; the names of the entry have room in it.
_MAX_TOTAL = (1 << 20) - (1 << 14)


def apply(changes: Iterable[str], entries: dict[str, Entry], problems: list[str], locate: Callable[[str], str]) -> set[str]:
    """Changes the entries.

    Args:
      changes: JSON, as above.
      entries: by path.
      problems: gets paths that no entry has, and invalid values.
      locate: returns the path that an entry has in the layer for the path that the user wrote.

    Returns:
      The paths of the entries that were changed.
    """
    changed = set()
    for text in changes:
        change = json.loads(text)
        attribute, path = change["attribute"], change["path"]
        try:
            path = locate(clean(path))
        except ValueError as error:
            problems.append(problem(attribute, path, str(error)))
            continue
        entry = entries.get(path)
        if entry is None:
            problems.append(problem(attribute, path, no_entry(path, entries)))
            continue
        changed.add(path)
        if entry.type == HARDLINK:
            problems.append(problem(attribute, path, f"is a hard link; write {entry.target}, the file that it links to"))
        elif "mode" in change:
            entries[path] = entry._replace(mode=read_mode(change["mode"], attribute, path, problems))
        elif "owner" in change:
            uid, gid = _owner(change["owner"], attribute, path, problems)
            entries[path] = entry._replace(uid=uid, gid=gid)
        else:
            entries[path] = entry._replace(xattrs=_xattrs(change["xattrs"], attribute, path, problems))
    return changed


def _owner(text: str, attribute: str, path: str, problems: list[str]) -> tuple[int, int]:
    numbers = text.split(":")
    if len(numbers) == 2 and all(part.isascii() and part.isdecimal() and int(part[:11]) <= MAX_ID for part in numbers):
        return int(numbers[0]), int(numbers[1])
    problems.append(problem(attribute, path, f'owner "{text}" is none; write uid:gid in numbers, as "65532:65532"'))
    return 0, 0


def _xattrs(words: list[str], attribute: str, path: str, problems: list[str]) -> tuple[tuple[str, bytes], ...]:
    """Names and values; a value is text, or in hex after 0x, or in base64 after 0s (setfattr(1))."""
    found: dict[str, bytes] = {}
    for word in words:
        name, equals, text = word.partition("=")
        value = b""
        fault = ""
        try:
            if text[:2] in ("0x", "0X"):
                value = binascii.unhexlify(text[2:])
            elif text[:2] in ("0s", "0S"):
                if not _BASE64.fullmatch(text, 2):
                    raise ValueError
                value = binascii.a2b_base64(text[2:])
            else:
                value = text.encode()
        except ValueError:
            fault = "its value is neither hex after 0x nor base64 after 0s"
        if not equals or not name.isascii() or not name.isprintable() or "." not in name.strip(".") or len(name) > _MAX_NAME:
            fault = 'write "name=value", the name with its namespace, as user.comment'
        elif name == "security.capability":
            fault = "capabilities are for file_capabilities to say"
        elif name in found:
            fault = f"{name} is there twice"
        elif len(value) > _MAX_VALUE:
            fault = f"{len(value)} bytes; the kernel takes {_MAX_VALUE}"
        if fault:
            problems.append(problem(attribute, word, f"of {path}: {fault}"))
        found[name] = value
    if (total := sum(len(name) + len(value) for name, value in found.items())) > _MAX_TOTAL:
        problems.append(problem(attribute, path, f"{total} bytes in all; container engines read {_MAX_TOTAL}"))
    return tuple(sorted(found.items()))


# Python's own check is of 3.11 and later, and every interpreter is to refuse the same.
_BASE64 = re.compile("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
