"""Changes modes, owners and extended attributes of single entries.

The rules pass each change as a JSON object: the value of one of the attributes `modes`, `owners` and `xattrs` for one path,
as the user wrote it. It is one of

    {"attribute": "modes", "path": "/etc/data", "mode": "0644"}
    {"attribute": "owners", "path": "/etc/data", "owner": "0:0"}
    {"attribute": "xattrs", "path": "/etc/data", "xattrs": ["user.comment=text"]}
"""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import HARDLINK, Entry
from rules_setcap.archive.paths import normalize_path
from rules_setcap.diagnostics.errors import quote
from rules_setcap.packer.entries import parse_mode, parse_owner
from rules_setcap.packer.unmatched_paths import describe_unmatched_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence
    from typing import Any

    from rules_setcap.diagnostics.problems import Problems

_MAX_VALUE = 65536  # Bytes: XATTR_SIZE_MAX, linux/limits.h.
_MAX_NAME = 255  # Bytes: XATTR_NAME_MAX, linux/limits.h.
# Bytes. Go's archive/tar, and so container engines, reads pax headers of up to 1 MiB. The rest is for the entry's names.
_MAX_TOTAL = (1 << 20) - (1 << 14)
# binascii.a2b_base64() ignores characters that are not base64.
_BASE64 = re.compile("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def change_entries(
    changes: Iterable[Mapping[str, Any]],
    entries: dict[str, Entry],
    copied: Container[str],
    problems: Problems,
    locate: Callable[[str], str],
) -> set[str]:
    """Changes the entries of a layer that is packed from files.

    Args:
      changes: the changes, as the rules pass them.
      entries: the entries by path; they are changed.
      copied: paths of files of lower layers that the image copies. Unless they match an entry, their changes are made in the
        layer of the copies.
      problems: the collector of problems.
      locate: returns the path that an entry has in the layer for the path that the user wrote.

    Returns:
      The paths of the entries that have been changed.
    """
    changed = set()
    for change in changes:
        attribute, path = change["attribute"], change["path"]
        try:
            path = normalize_path(path)
            located = locate(path)
        except ValueError as error:
            problems.add(attribute, path, str(error))
            continue
        entry = entries.get(located)
        if entry is None and path in copied:
            continue
        if entry is None:
            problems.add(attribute, path, describe_unmatched_entry(path, entries))
            continue
        changed.add(located)
        entries[located] = _change_entry(entry, change, path, problems)
    return changed


def change_copies(
    changes: Iterable[Mapping[str, Any]],
    entries: dict[str, Entry],
    located: Mapping[str, str],
    has_other_layer: bool,
    problems: Problems,
) -> None:
    """Changes the entries of a layer that copies files of lower layers.

    Args:
      changes: the changes, as the rules pass them.
      entries: the entries by path, without symbolic links in it; they are changed.
      located: the path of an entry, by the path that file_capabilities has for it.
      has_other_layer: whether changes that match no entry may be for the layer of the image's binary.
      problems: the collector of problems.
    """
    for change in changes:
        attribute, path = change["attribute"], change["path"]
        try:
            path = normalize_path(path)
        except ValueError as error:
            problems.add(attribute, path, str(error))
            continue
        if path in located:
            entries[located[path]] = _change_entry(entries[located[path]], change, path, problems)
        elif not has_other_layer:
            what = "file_capabilities does not name this file; only files that it names are copied from the base"
            problems.add(attribute, path, what)


def _change_entry(entry: Entry, change: Mapping[str, Any], path: str, problems: Problems) -> Entry:
    """Returns an entry with one change; the same entry, and a problem, if the change is not valid."""
    attribute = change["attribute"]
    if entry.type == HARDLINK:
        problems.add(attribute, path, f"is a hard link; write {entry.target}, the file that it links to")
        return entry
    if attribute == "modes":
        return entry._replace(mode=parse_mode(change["mode"], attribute, path, problems))
    if attribute == "owners":
        try:
            uid, gid = parse_owner(change["owner"])
        except ValueError as error:
            problems.add(attribute, path, f"{quote(change['owner'])}: {error}")
            return entry
        return entry._replace(uid=uid, gid=gid)
    xattrs = {**dict(entry.xattrs), **_parse_xattrs(change["xattrs"], path, problems)}
    return entry._replace(xattrs=tuple(sorted(xattrs.items())))


def _parse_xattrs(pairs: Sequence[str], path: str, problems: Problems) -> dict[str, bytes]:
    """Parses a value of the attribute xattrs.

    Args:
      pairs: "name=value" each.
      path: the path of the entry, for messages.
      problems: the collector of problems.

    Returns:
      The values by name.
    """
    xattrs: dict[str, bytes] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        value = b""
        fault = ""
        try:
            value = _decode_value(text)
        except ValueError:
            fault = "the value must be hex after 0x, or base64 after 0s"
        if not equals or not name.isascii() or not name.isprintable() or "." not in name.strip(".") or len(name) > _MAX_NAME:
            fault = 'must be "name=value", the name with its namespace, as user.comment'
        elif name == "security.capability":
            fault = "capabilities are assigned by file_capabilities"
        elif name in xattrs:
            fault = f"{name} is there twice; keep one"
        elif len(value) > _MAX_VALUE:
            fault = f"the value has {len(value)} bytes; the kernel takes at most {_MAX_VALUE}"
        if fault:
            problems.add("xattrs", pair, f"of {path}: {fault}")
        xattrs[name] = value
    total = sum(len(name) + len(value) for name, value in xattrs.items())
    if total > _MAX_TOTAL:
        problems.add("xattrs", path, f"{total} bytes in all; container engines read at most {_MAX_TOTAL}")
    return xattrs


def _decode_value(text: str) -> bytes:
    """Decodes the value of an extended attribute in the format of setfattr(1).

    The value is text, hexadecimal after `0x`, or base64 after `0s`.

    Raises:
      ValueError: the text is not valid.
    """
    if text[:2] in ("0x", "0X"):
        return binascii.unhexlify(text[2:])
    if text[:2] in ("0s", "0S"):
        if not _BASE64.fullmatch(text, 2):
            raise ValueError
        return binascii.a2b_base64(text[2:])
    return text.encode()
