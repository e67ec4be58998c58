"""Parses the records of pax headers: `length name=value\\n` each (POSIX.1-2017, pax, "pax Extended Header").

The records are those that Go's archive/tar returns (strconv.go, parsePAXRecord). Records
that other programs read in another way are not valid.
"""

from __future__ import annotations

import re

from rules_setcap.archive import headers
from rules_setcap.archive.headers import HeaderError, show
from rules_setcap.archive.records import CAPABILITY_TWIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator


SPARSE_MAP = b"GNU.sparse.map"
_SPARSE_PIECES = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
_TEXTS = (b"path", b"linkpath", b"uname", b"gname")
_NOT_EMPTY = (b"path", b"linkpath", b"size", b"uid", b"gid")
_TIMES = (b"mtime", b"atime", b"ctime")
_TIME = re.compile(rb"-?[0-9]{1,19}(\.[0-9]*)?").fullmatch
_MAX_TIME = 1 << 63
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_OF_ONE_ENTRY = (b"GNU.sparse.", b"SCHILY.xattr.", b"SCHILY.acl.", b"LIBARCHIVE.xattr.")


def split(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
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


def parse(data: bytes) -> dict[bytes, bytes]:
    """Parses the pax header of one entry.

    Args:
      data: the content of the header.

    Returns:
      The values by name; GNU.sparse.offset and GNU.sparse.numbytes are joined as GNU.sparse.map.

    Raises:
      HeaderError: a record is not valid.
    """
    values: dict[bytes, bytes] = {}
    pieces: list[bytes] = []
    for name, value, _ in split(data):
        if name in _SPARSE_PIECES:
            if name != _SPARSE_PIECES[len(pieces) % 2] or b"," in value:
                raise HeaderError("the records GNU.sparse.offset and GNU.sparse.numbytes do not alternate")
            pieces.append(value)
            continue
        if values.get(name, value) != value:
            raise HeaderError(f"record {show(name)} is there twice, with different values")
        values[name] = value
        _check(name, value)
    if pieces:
        if SPARSE_MAP in values:
            raise HeaderError("records GNU.sparse.map and GNU.sparse.offset are both there")
        values[SPARSE_MAP] = b",".join(pieces)
    return values


def check_global(data: bytes) -> None:
    """Checks the pax header of all following entries, which container engines ignore and other programs do not.

    Raises:
      HeaderError: a record is not valid, or describes a single entry.
    """
    for name, value in parse(data).items():
        if name in _NOT_EMPTY or name.startswith(_OF_ONE_ENTRY) or name == b"SCHILY.realsize":
            raise HeaderError(f"it is for all entries, and has record {show(name)}, which describes a single one")


def owner(values: dict[bytes, bytes], name: bytes, otherwise: int) -> int:
    """Returns the user or group ID of an entry: that of the record, or of the header if there is no record.

    Raises:
      HeaderError: the record is not valid.
    """
    value = _number(values, name)
    return otherwise if value is None else headers.in_range(name.decode(), value, headers.MAX_ID)


def size(values: dict[bytes, bytes], otherwise: int) -> int:
    """Returns the size of an entry's content: that of the record, or of the header if there is no record.

    Raises:
      HeaderError: a record is not valid.
    """
    value = _number(values, b"size")
    size = otherwise if value is None else headers.in_range("size", value, headers.MAX_SIZE)
    if _number(values, b"SCHILY.realsize") not in (None, size):
        raise HeaderError("record SCHILY.realsize is not the size of the content; container engines do not read it")
    return size


def _number(values: dict[bytes, bytes], name: bytes) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    if not value.isdigit() or len(value) > 19:
        raise HeaderError(f"record {name.decode()}={show(value)} is not a valid number")
    return int(value)


def _check(name: bytes, value: bytes) -> None:
    """Checks the records that Go parses, and those that change what other programs read."""
    if name in _TEXTS and b"\0" in value:
        raise HeaderError(f"record {name.decode()}={show(value)} has a NUL")
    if name in _NOT_EMPTY and not value:
        raise HeaderError(f"record {name.decode()} has no value, which some programs take for an empty one")
    if name in _TIMES and value and not (_TIME(value) and -_MAX_TIME <= int(value.partition(b".")[0]) < _MAX_TIME):
        raise HeaderError(f"record {name.decode()}={show(value)} is not a valid time")
    if b"%" in name and _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), name) == CAPABILITY_TWIN:  # libarchive reads it so.
        raise HeaderError(f"record {show(name)} stands for {CAPABILITY_TWIN.decode()}")
