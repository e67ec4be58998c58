"""Compares two entries of layers field by field, and shows the fields as text."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from rules_setcap import capabilities
from rules_setcap.archive import pax
from rules_setcap.archive.entry import FILE, HARDLINK, SYMLINK
from rules_setcap.archive.headers import parse_number
from rules_setcap.archive.records import CAPABILITY_RECORD, CAPABILITY_TWIN, XATTR
from rules_setcap.archive.tar import BLOCK
from rules_setcap.diagnostics.errors import quote
from rules_setcap.diff.model import Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_setcap.archive.reader import Member

_DEVICES = ("character device", "block device")
_SET_ID_BITS = ((0o4000, "set-user-ID"), (0o2000, "set-group-ID"), (0o1000, "sticky"))
_TWIN_PREFIX = b"LIBARCHIVE.xattr."
_ATTRIBUTE_PREFIXES = (XATTR, b"SCHILY.acl.", _TWIN_PREFIX)
# The fields of a header by name, without the checksum, which follows from the others.
_HEADER_FIELDS = {
    "name": (0, 100),
    "mode": (100, 108),
    "uid": (108, 116),
    "gid": (116, 124),
    "size": (124, 136),
    "mtime": (136, 148),
    "type": (156, 157),
    "linkname": (157, 257),
    "magic": (257, 265),
    "uname": (265, 297),
    "gname": (297, 329),
    "devmajor": (329, 337),
    "devminor": (337, 345),
    "prefix": (345, 500),
    "padding": (500, 512),
}
# The fields whose bytes follow from a change of another kind: the field by the `field` or the kind of that change.
_EXPLAINED = {
    "mode": ("mode",),
    "uid": ("uid",),
    "gid": ("gid",),
    "mtime": ("mtime",),
    "type": ("type", "devmajor", "devminor", "linkname"),
    "link": ("linkname",),
    "device": ("devmajor", "devminor"),
    "content": ("size",),
}
_MAX_VALUE = 100  # Characters of a value of an attribute or a record that are shown.
_KIND_NAMES = {b"L": "a long name of GNU tar", b"K": "a long target of GNU tar", b"g": "a global pax header"}


def have_equal_headers(before: Member, after: Member) -> bool:
    """Returns whether two entries have the same header bytes."""
    return (
        before.header == after.header
        and before.extended == after.extended
        and before.before == after.before
        and before.between == after.between
    )


def compare_entries(before: Member, after: Member, *, content_differs: bool = False) -> Iterator[Change]:
    """Yields the changes of an entry, without that of its content.

    Args:
      before: the entry in the first layer.
      after: the entry with the same path in the second layer.
      content_differs: whether the contents differ, so that the sizes in the headers may differ too.
    """
    changes = [*_compare_meanings(before, after)]
    yield from changes
    explained = {field for change in changes for field in _EXPLAINED.get(change.field or change.kind, ())}
    if content_differs or before.type != after.type:
        explained.update(_EXPLAINED["content"])
    yield from _compare_encodings(before, after, explained)


def _compare_meanings(before: Member, after: Member) -> Iterator[Change]:
    """Yields the changes that a file system shows."""
    path = after.path
    mtimes = read_mtime(before), read_mtime(after)
    if mtimes[0] != mtimes[1]:
        yield Change("mtime", path, before=format_mtime(mtimes[0]), after=format_mtime(mtimes[1]))
    for field, bit in (("uid", 0o4000), ("gid", 0o2000)):
        ids = getattr(before, field), getattr(after, field)
        if ids[0] != ids[1]:
            yield Change("owner", path, field, str(ids[0]), str(ids[1]), _describe_set_id(after, before.mode & bit))
    if before.mode != after.mode:
        yield Change(
            "mode", path, "", format_mode(before.mode), format_mode(after.mode), _describe_modes(before.mode, after.mode)
        )
    if before.records or after.records:
        yield from _compare_attributes(before, after)
    if before.type != after.type:
        yield Change("type", path, before=before.type, after=after.type)
    elif before.link != after.link and before.type in (SYMLINK, HARDLINK):
        yield Change("link", path, before=before.link, after=after.link)
    elif before.type in _DEVICES and _read_device(before) != _read_device(after):
        yield Change("device", path, before=_read_device(before), after=_read_device(after))


def _compare_attributes(before: Member, after: Member) -> Iterator[Change]:
    """Yields the changes of extended attributes and access control lists."""
    names = sorted({name for name in (*before.records, *after.records) if name.startswith(_ATTRIBUTE_PREFIXES)})
    for name in names:
        left, right = before.records.get(name), after.records.get(name)
        if left == right:
            continue
        if name == CAPABILITY_RECORD:
            old, new = format_capabilities(left), format_capabilities(right)
            details = () if old != new else (f"the bytes of the attribute: {_format_bytes(left)} -> {_format_bytes(right)}",)
            yield Change("capabilities", after.path, "", old, new, details)
        elif name == CAPABILITY_TWIN:
            if before.records.get(CAPABILITY_RECORD) == after.records.get(CAPABILITY_RECORD):
                values = _format_bytes(left), _format_bytes(right)
                note = "bsdtar reads this record; container engines do not"
                yield Change("xattrs", after.path, name.decode(), *values, (note,))
        else:
            field = name.removeprefix(XATTR).decode("utf-8", "surrogateescape")
            yield Change("xattrs", after.path, field, _format_bytes(left), _format_bytes(right))


def _compare_encodings(before: Member, after: Member, explained: set[str]) -> Iterator[Change]:
    """Yields the differences of headers that mean the same.

    Args:
      before: the first entry.
      after: the second entry.
      explained: the header fields that other changes explain.
    """
    path = after.path
    left_header, right_header = before.header[:BLOCK], after.header[:BLOCK]
    if left_header != right_header:
        for field, (start, end) in _HEADER_FIELDS.items():
            left, right = left_header[start:end], right_header[start:end]
            if left != right and field not in explained:
                yield Change("encoding", path, field, _format_field(left), _format_field(right))
    if before.extended != after.extended:
        yield from _compare_pax_headers(before, after, explained)
    for left, right in ((before.before, after.before), (before.between, after.between)):
        if left != right:
            yield Change("encoding", path, "headers", _describe_headers(left), _describe_headers(right))


def _compare_pax_headers(before: Member, after: Member, explained: set[str]) -> Iterator[Change]:
    """Yields the differences of pax headers, without attributes, which mean something."""
    path, changed = after.path, False
    for name in sorted({*before.records, *after.records}):
        left, right = before.records.get(name), after.records.get(name)
        if left == right:
            continue
        changed = True
        text = name.decode("utf-8", "backslashreplace")
        if name.startswith(_ATTRIBUTE_PREFIXES) or ("linkname" if text == "linkpath" else text) in explained:
            continue
        if text == "hdrcharset" and _have_other_attributes(before, after):
            continue  # Writers add it for a value that is not UTF-8.
        yield Change("encoding", path, f"pax record {text}", _format_bytes(left), _format_bytes(right))
    if not before.extended or not after.extended:
        return
    left_header, right_header = before.extended[:BLOCK], after.extended[:BLOCK]
    for field, (start, end) in _HEADER_FIELDS.items():
        left, right = left_header[start:end], right_header[start:end]
        if left != right and field != "size":
            yield Change("encoding", path, f"{field} of the pax header", _format_field(left), _format_field(right))
    if not changed and before.extension != after.extension:
        old, new = (", ".join(_list_records(member)) for member in (before, after))
        yield Change("encoding", path, "order of the pax records", old, new)
    elif not changed and before.extended[BLOCK:] != after.extended[BLOCK:]:
        yield Change("encoding", path, "padding of the pax header")


def _have_other_attributes(before: Member, after: Member) -> bool:
    """Returns whether the extended attributes of two entries differ."""
    names = {*before.records, *after.records}
    return any(before.records.get(name) != after.records.get(name) for name in names if name.startswith(_ATTRIBUTE_PREFIXES))


def _list_records(member: Member) -> list[str]:
    return [name.decode("utf-8", "backslashreplace") for name, _, _ in pax.split_records(member.extension)]


@functools.lru_cache(256)
def _format_field(field: bytes) -> str:
    """Returns the bytes of a header field as text: without the NULs at its end, and quoted."""
    return quote(field.rstrip(b"\0").decode("latin-1")) if field.isascii() else field.hex()


def _describe_headers(data: bytes) -> str | None:
    """Returns the kinds of the headers before an entry; the records of a global header. None without headers."""
    if not data:
        return None
    parts, at = [], 0
    while at < len(data):
        header = data[at : at + BLOCK]
        size = parse_number(header[124:136]) or 0
        content = data[at + BLOCK : at + BLOCK + size]
        kind = header[156:157]
        texts = [_format_bytes(content)]
        if kind == b"g":
            texts = [_format_bytes(name + b"=" + value) for name, value, _ in pax.split_records(content)]
        parts.append(f"{_KIND_NAMES.get(kind, 'a header')} {', '.join(filter(None, texts))}")
        at += BLOCK + size + -size % BLOCK
    return ", ".join(parts)


@functools.lru_cache(256)
def format_mode(mode: int) -> str:
    """Returns permission bits as four octal digits."""
    return f"{mode:04o}"


@functools.lru_cache(256)
def _describe_modes(before: int, after: int) -> tuple[str, ...]:
    """Returns which set-ID bits a mode gains or loses."""
    details = []
    for bit, name in _SET_ID_BITS:
        if (before ^ after) & bit:
            details.append(f"{'gains' if after & bit else 'loses'} the {name} bit")
    return tuple(details)


def _describe_set_id(member: Member, bits: int = 0o6000) -> tuple[str, ...]:
    """Returns a line for each set-ID bit of a file: whoever executes it gets its user or its group."""
    if member.type != FILE:
        return ()
    ids = (0o4000, "set-user-ID", member.uid), (0o2000, "set-group-ID", member.gid)
    return tuple(f"{name}={number}" for bit, name, number in ids if member.mode & bits & bit)


def list_privileges(member: Member) -> tuple[str, ...]:
    """Returns what an entry gives the process that executes it: its capabilities and set-ID bits, as text."""
    text = format_capabilities(member.records.get(CAPABILITY_RECORD)) if member.records else None
    return ((f"capabilities {text}",) if text is not None else ()) + _describe_set_id(member)


def read_mtime(member: Member) -> bytes:
    """Returns the modification time of an entry in decimal seconds, without zeros at the end of a fraction."""
    text = member.records.get(b"mtime") if member.records else None
    if not text:
        return _read_header_mtime(member.header[136:148])
    seconds, _, fraction = text.partition(b".")
    fraction = fraction.rstrip(b"0")
    number = b"%d" % int(seconds)
    if seconds.startswith(b"-") and number == b"0" and fraction:
        number = b"-0"
    return number + (b"." + fraction if fraction else b"")


@functools.lru_cache(256)
def _read_header_mtime(field: bytes) -> bytes:
    # AIX writes a NUL too many after the size.
    return b"%d" % (parse_number(field if field[0] else b"0" + field[1:]) or 0)


@functools.lru_cache(256)
def format_mtime(value: bytes) -> str:
    """Returns a time from read_mtime() in RFC 3339, or in seconds if that cannot express it."""
    seconds, _, fraction = value.decode().partition(".")
    try:
        if seconds.startswith("-"):
            raise ValueError
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(int(seconds)))
    except (ValueError, OverflowError, OSError):
        return f"{value.decode()} s"
    return f"{text}{'.' if fraction else ''}{fraction}Z"


@functools.lru_cache(256)
def format_capabilities(value: bytes | None) -> str | None:
    """Returns the value of security.capability as text; None if there is none."""
    if value is None:
        return None
    try:
        return capabilities.from_xattr(value).to_getcap_text()
    except capabilities.CapabilityError as error:
        return f"invalid: {error}"


def _format_bytes(value: bytes | None) -> str | None:
    """Returns the value of an attribute or a record: quoted text if it is printable, else hexadecimal; cut if it is long."""
    if value is None:
        return None
    try:
        text = value[: _MAX_VALUE + 3].decode().removesuffix("\0")
        shown = quote(text[:_MAX_VALUE]) if text.isprintable() else ""
    except UnicodeDecodeError:
        shown = ""
    shown = shown or value[: _MAX_VALUE // 2].hex()
    return shown if len(value) <= _MAX_VALUE // 2 else f"{shown} ({len(value)} bytes)"


def _read_device(member: Member) -> str:
    """Returns the numbers of a device, as "major:minor"."""
    return ":".join(str(parse_number(member.header[start : start + 8]) or 0) for start in (329, 337))


def summarize_entry(member: Member) -> tuple[str, ...]:
    """Returns the lines about an entry that only one layer has: what it is, and what matters of it."""
    what = member.type
    if member.type == FILE:
        what += f", {member.size} bytes"
    elif member.type in (SYMLINK, HARDLINK):
        what += f" to {member.link}"
    lines = [f"{what}, mode {format_mode(member.mode)}, owner {member.uid}:{member.gid}"]
    lines += list_privileges(member)
    folder, _, name = member.path.rpartition("/")
    if name == ".wh..wh..opq":
        lines.append(f"a whiteout: hides what the layers below have in {folder or '/'}")
    elif name.startswith(".wh."):
        lines.append(f"a whiteout: deletes {folder}/{name.removeprefix('.wh.')} of the layers below")
    return tuple(lines)
