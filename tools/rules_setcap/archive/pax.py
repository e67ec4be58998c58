r"""Parses the records of pax headers, `length name=value\n` (POSIX.1-2017, pax, "pax Extended Header").

The records are those that Go's archive/tar returns (strconv.go, parsePAXRecord). A record is invalid if other programs read
it differently.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rules_setcap.archive import headers
from rules_setcap.archive.headers import HeaderError, quote_bytes
from rules_setcap.archive.records import CAPABILITY_TWIN

if TYPE_CHECKING:
    from collections.abc import Iterator

SPARSE_MAP = b"GNU.sparse.map"
_SPARSE_PIECES = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
_TEXTS = (b"path", b"linkpath", b"uname", b"gname")
_NOT_EMPTY = (b"path", b"linkpath", b"size", b"uid", b"gid")
_TIMES = (b"mtime", b"atime", b"ctime")
_TIME = re.compile(rb"-?[0-9]{1,19}(\.[0-9]*)?").fullmatch
_MAX_TIME = 1 << 63
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_OF_ONE_MEMBER = (b"GNU.sparse.", b"SCHILY.xattr.", b"SCHILY.acl.", b"LIBARCHIVE.xattr.")


def split_records(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yields name, value and the bytes of each record.

    Args:
      data: the content of a pax header.

    Raises:
      HeaderError: the content is not a list of records.
    """
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 8)
        digits = data[at:space] if space > 0 else b""
        end = at + int(digits) if digits.isdigit() else at
        record = data[at:end]
        name, equals, value = record[space + 1 - at : -1].partition(b"=")
        if end > len(data) or not record.endswith(b"\n") or not equals or not name or b"\0" in name:
            raise HeaderError(f"its content has no valid record at byte {at}")
        yield name, value, record
        at = end


def parse_records(data: bytes) -> dict[bytes, bytes]:
    """Parses the pax header of one member.

    Args:
      data: the content of the header.

    Returns:
      The values by name. The values of GNU.sparse.offset and GNU.sparse.numbytes are joined to one of GNU.sparse.map.

    Raises:
      HeaderError: a record is not valid.
    """
    values: dict[bytes, bytes] = {}
    pieces: list[bytes] = []
    for name, value, _ in split_records(data):
        if name in _SPARSE_PIECES:
            if name != _SPARSE_PIECES[len(pieces) % 2] or b"," in value:
                raise HeaderError("the records GNU.sparse.offset and GNU.sparse.numbytes do not alternate")
            pieces.append(value)
            continue
        if values.get(name, value) != value:
            raise HeaderError(f"record {quote_bytes(name)} is there twice, with different values")
        values[name] = value
        _check_record(name, value)
    if pieces:
        if SPARSE_MAP in values:
            raise HeaderError("records GNU.sparse.map and GNU.sparse.offset are both there")
        values[SPARSE_MAP] = b",".join(pieces)
    return values


def check_global_records(data: bytes) -> None:
    """Checks a global pax header, which container engines ignore and other programs apply to all following members.

    Raises:
      HeaderError: a record is not valid, or describes a single member.
    """
    for name in parse_records(data):
        if name in _NOT_EMPTY or name.startswith(_OF_ONE_MEMBER) or name == b"SCHILY.realsize":
            raise HeaderError(f"it is for all entries, and has record {quote_bytes(name)}, which describes a single one")


def choose_name(short: bytes, long: bytes | None, extended: bytes | None, what: str) -> bytes:
    """Returns the name or the target of a member.

    Args:
      short: the value of the header.
      long: the value of GNU tar's header for long names or targets.
      extended: the value of the pax record.
      what: the plural of the value, for the message.

    Raises:
      HeaderError: `long` and `extended` differ.
    """
    if long is not None and extended is not None and long != extended:
        raise HeaderError(f"an entry with two {what}, {quote_bytes(long)} and {quote_bytes(extended)}")
    return long or extended or short


def choose_id(values: dict[bytes, bytes], name: bytes, header_value: int) -> int:
    """Returns the uid or gid of a member: the value of its record, or of its header if there is no record.

    Args:
      values: the records of the member.
      name: the name of the record, `uid` or `gid`.
      header_value: the value in the header.

    Raises:
      HeaderError: the record is not valid.
    """
    value = _parse_number(values, name)
    return header_value if value is None else headers.check_range(name.decode(), value, headers.MAX_ID)


def choose_size(values: dict[bytes, bytes], header_value: int) -> int:
    """Returns the size of a member's content in bytes: the value of its record, or of its header if there is no record.

    Args:
      values: the records of the member.
      header_value: the value in the header.

    Raises:
      HeaderError: a record is not valid.
    """
    value = _parse_number(values, b"size")
    size = header_value if value is None else headers.check_range("size", value, headers.MAX_SIZE)
    if _parse_number(values, b"SCHILY.realsize") not in (None, size):
        raise HeaderError("record SCHILY.realsize is not the size of the content; container engines do not read it")
    return size


def _parse_number(values: dict[bytes, bytes], name: bytes) -> int | None:
    """Returns the value of a record that is a number; None if there is no record."""
    value = values.get(name)
    if value is None:
        return None
    if not value.isdigit() or len(value) > 19:
        raise HeaderError(f"record {name.decode()}={quote_bytes(value)} is not a valid number")
    return int(value)


def _check_record(name: bytes, value: bytes) -> None:
    """Checks a record if Go parses it, or if other programs read something else because of it."""
    if name in _TEXTS and b"\0" in value:
        raise HeaderError(f"record {name.decode()}={quote_bytes(value)} has a NUL")
    if name in _NOT_EMPTY and not value:
        raise HeaderError(f"record {name.decode()} has no value, which some programs take for an empty one")
    if name in _TIMES and value and not (_TIME(value) and -_MAX_TIME <= int(value.partition(b".")[0]) < _MAX_TIME):
        raise HeaderError(f"record {name.decode()}={quote_bytes(value)} is not a valid time")
    # libarchive decodes the name of a record.
    if b"%" in name and _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), name) == CAPABILITY_TWIN:
        raise HeaderError(f"record {quote_bytes(name)} stands for {CAPABILITY_TWIN.decode()}")
