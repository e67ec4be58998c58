"""Changes of single entries: mode, owner, extended attributes.

A change is the value of one attribute for one path, as the user wrote it:
`{"attribute": "modes", "path": "/etc/data", "mode": "0644"}`, or `owner` ("uid:gid"), or
`xattrs` (a list of "name=value").
"""

from __future__ import annotations

import binascii
import json
import re

from rules_setcap.archive.entry import HARDLINK, MAX_ID, Entry
from rules_setcap.archive.paths import normalize_path
from rules_setcap.diagnostics.errors import problem, quote
from rules_setcap.packer.entries import no_entry, read_mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Container, Iterable, Mapping

_MAX_VALUE = 65536  # XATTR_SIZE_MAX, linux/limits.h
_MAX_NAME = 255  # XATTR_NAME_MAX
# Go's archive/tar, and so container engines, reads pax headers of up to 1 MiB; the names of the entry have room in it.
_MAX_TOTAL = (1 << 20) - (1 << 14)


def apply(
    changes: Iterable[str], entries: dict[str, Entry], copied: Container[str], problems: list[str], locate: Callable[[str], str]
) -> set[str]:
    """Changes the entries.

    Args:
      changes: JSON, as above.
      entries: by path.
      copied: paths of files that are copied from the base, unless they are among the entries: their changes are made in
        that layer.
      problems: list to which problems are added: a path that no entry has, an invalid value.
      locate: returns the path that an entry has in the layer for the path that the user wrote.

    Returns:
      The paths of the entries that were changed.
    """
    changed = set()
    for text in changes:
        change = json.loads(text)
        attribute, path = change["attribute"], change["path"]
        try:
            path = normalize_path(path)
            place = locate(path)
        except ValueError as error:
            problems.append(problem(attribute, path, str(error)))
            continue
        entry = entries.get(place)
        if entry is None and path in copied:
            continue
        if entry is None:
            problems.append(problem(attribute, path, no_entry(path, entries)))
            continue
        changed.add(place)
        entries[place] = _changed(entry, change, path, problems)
    return changed


def apply_to_copies(
    changes: Iterable[str], entries: dict[str, Entry], places: Mapping[str, str], complete: bool, problems: list[str]
) -> None:
    """Changes files that are copied from the layers below.

    Args:
      changes: JSON, as above.
      entries: by path, without symbolic links on the way.
      places: path of an entry by the path that file_capabilities has for it.
      complete: whether there is no other layer that the changes may be for.
      problems: list to which problems are added.
    """
    for text in changes:
        change = json.loads(text)
        attribute, path = change["attribute"], change["path"]
        try:
            path = normalize_path(path)
        except ValueError as error:
            problems.append(problem(attribute, path, str(error)))
            continue
        if path in places:
            entries[places[path]] = _changed(entries[places[path]], change, path, problems)
        elif complete:
            problems.append(problem(attribute, path, "file_capabilities does not name this file; only files that it names are copied from the base"))


def _changed(entry: Entry, change: Mapping[str, Any], path: str, problems: list[str]) -> Entry:
    """Returns the entry with one change; as it was, and a problem, if the change is invalid."""
    attribute = change["attribute"]
    if entry.type == HARDLINK:
        problems.append(problem(attribute, path, f"is a hard link; write {entry.target}, the file that it links to"))
    elif "mode" in change:
        return entry._replace(mode=read_mode(change["mode"], attribute, path, problems))
    elif "owner" in change:
        uid, gid = _parse_owner(change["owner"], attribute, path, problems)
        return entry._replace(uid=uid, gid=gid)
    else:
        new = _parse_xattrs(change["xattrs"], attribute, path, problems)
        return entry._replace(xattrs=tuple(sorted({**dict(entry.xattrs), **new}.items())))
    return entry


def _parse_owner(text: str, attribute: str, path: str, problems: list[str]) -> tuple[int, int]:
    numbers = text.split(":")
    if len(numbers) != 2 or not all(part.isascii() and part.isdecimal() for part in numbers):
        problems.append(problem(attribute, path, f'{quote(text)} is not a valid owner; write uid:gid in numbers, as "65532:65532"'))
        return 0, 0
    for name, part in zip(("uid", "gid"), numbers):
        if int(part[:11]) > MAX_ID:
            problems.append(problem(attribute, path, f"{name} {part} is out of range (0 to {MAX_ID})"))
            return 0, 0
    return int(numbers[0]), int(numbers[1])


def _parse_xattrs(words: list[str], attribute: str, path: str, problems: list[str]) -> dict[str, bytes]:
    """Parses names and values; a value is text, or in hex after 0x, or in base64 after 0s (setfattr(1))."""
    values: dict[str, bytes] = {}
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
            fault = "the value must be hex after 0x, or base64 after 0s"
        if not equals or not name.isascii() or not name.isprintable() or "." not in name.strip(".") or len(name) > _MAX_NAME:
            fault = 'must be "name=value", the name with its namespace, as user.comment'
        elif name == "security.capability":
            fault = "capabilities are assigned by file_capabilities"
        elif name in values:
            fault = f"{name} is there twice; keep one"
        elif len(value) > _MAX_VALUE:
            fault = f"the value has {len(value)} bytes; the kernel takes at most {_MAX_VALUE}"
        if fault:
            problems.append(problem(attribute, word, f"of {path}: {fault}"))
        values[name] = value
    if (total := sum(len(name) + len(value) for name, value in values.items())) > _MAX_TOTAL:
        problems.append(problem(attribute, path, f"{total} bytes in all; container engines read at most {_MAX_TOTAL}"))
    return values


# Python's own check is of 3.11 and later, and every interpreter is to refuse the same.
_BASE64 = re.compile("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
