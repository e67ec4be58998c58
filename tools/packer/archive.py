"""Tars from outside, an entry at a time, each with the very bytes that stand for it.

Python's tarfile says what an entry means and forgets how it was written; who changes one
record of a header and keeps all else needs both. The formats are those of tar(5): v7,
ustar and pax (POSIX.1-2017, pax), star's, and GNU tar's with its long names and sparse
files. Where readers disagree about what an archive means, it is refused.
"""

from __future__ import annotations

from . import limits
from .entries import DIRECTORY, FILE, HARDLINK, SYMLINK
from .errors import quote
from .tar import BLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from .work import Work

_TYPES = {
    b"\0": FILE,
    b"0": FILE,
    b"1": HARDLINK,
    b"2": SYMLINK,
    b"3": "character device",
    b"4": "block device",
    b"5": DIRECTORY,
    b"6": "fifo",
    b"S": FILE,
}
_LOCAL, _GLOBAL, _LONG_NAME, _LONG_LINK, _OLD_SPARSE = b"x", b"g", b"L", b"K", b"S"
_CHUNK = 1 << 20
_ZERO = bytes(BLOCK)
_SPACES = b" " * 8
_NOT_FOR_ALL = (b"path", b"linkpath", b"size", b"GNU.sparse.", b"SCHILY.", b"LIBARCHIVE.")
"""Records that say something of one entry: a global header that has them means other things to other readers."""


class ArchiveError(ValueError):
    """What is wrong with an archive, as a sentence."""


class Member:
    """An entry.

    Attributes:
      path: str, absolute and plain; "/" for the root. What is no UTF-8 is as os.fsdecode(3) has it.
      type: str, as of the entries that are packed; or "fifo", "character device", "block device".
      mode: int, permissions.
      uid: int.
      gid: int.
      size: int, bytes of content in the archive.
      link: str, what a link says; of a hard link, absolute and plain.
      records: dict, the pax records by name, bytes both.
      sparse: bool, whether the content is a map and pieces of the file.
      before: bytes, the other headers that belong to it, as they are.
      extended: bytes, its pax header as it is, or nothing.
      extension: bytes, the records in that.
      header: bytes, its own header as it is.
    """

    __slots__ = ("path", "type", "mode", "uid", "gid", "size", "link", "records", "sparse", "before", "extended", "extension", "header")

    path: str
    type: str
    mode: int
    uid: int
    gid: int
    size: int
    link: str
    records: dict[bytes, bytes]
    sparse: bool
    before: bytes
    extended: bytes
    extension: bytes
    header: bytes


class Archive:
    """A tar that is read once, from start to end.

    Attributes:
      ended: bool, whether there was an end-of-archive marker.
    """

    def __init__(self, stream: Any, work: Work | None = None) -> None:
        """
        Args:
          stream: an object with read(size), which gives fewer bytes at the end alone.
          work: counts the memory of the entries, where the caller keeps them.
        """
        self._work = work
        self.ended = False
        self._stream = stream
        self._left = 0  # Bytes of content and padding that nobody has read.
        self._padding = 0
        self._rest = b""

    def __iter__(self) -> Iterator[Member]:
        """The entries. What is not read of an entry's content is passed over.

        Raises:
          ArchiveError: no tar, one that ends too soon, or one that readers disagree about.
        """
        before, extended, extension = b"", b"", b""
        records: dict[bytes, bytes] = {}
        long: dict[bytes, bytes] = {}
        while True:
            for _ in self.content():
                pass
            block = self._take(BLOCK, "a header")
            if block in (b"", _ZERO):
                if before or extended:
                    raise ArchiveError("ends after a header that belongs to the next entry")
                self._end(block)
                return
            kind = block[156:157]
            _check_sum(block)
            if kind in (_LOCAL, _GLOBAL, _LONG_NAME, _LONG_LINK):
                raw, data = self._extension(block)
                if kind == _LOCAL:
                    if extended:
                        raise ArchiveError("two pax headers for one entry")
                    extended, extension, records = raw, data, _records(data)
                    continue
                before += raw
                if kind == _GLOBAL:
                    for name in _records(data):
                        if name.startswith(_NOT_FOR_ALL):
                            raise ArchiveError(f"a pax header for all entries with {_show(name)}, which is for one")
                else:
                    long[kind] = data.rstrip(b"\0")
                if len(before) > 2 * limits.EXTENSION:
                    raise ArchiveError("too many headers for one entry")
                continue
            member = _member(block, records, long)
            if kind == _OLD_SPARSE:
                member.header += self._sparse_blocks(block)
            member.before, member.extended, member.extension = before, extended, extension
            self._left, self._padding = member.size, -member.size % BLOCK
            if self._work is not None:
                self._work.keep_member(member)
            yield member
            before, extended, extension, records, long = b"", b"", b"", {}, {}

    def content(self) -> Iterator[bytes]:
        """What is left of the entry's content, in pieces, and then its padding: all as it is.

        Raises:
          ArchiveError: the archive ends too soon.
        """
        while self._left:
            data = self._take(min(self._left, _CHUNK), "the content of an entry")
            if not data:
                raise ArchiveError("ends within the content of an entry")
            self._left -= len(data)
            yield data
        if self._padding:
            padding, self._padding = self._take(self._padding, "padding"), 0
            if not padding:
                raise ArchiveError("ends within the content of an entry")
            yield padding

    def rest(self) -> Iterator[bytes]:
        """The end-of-archive marker and what follows it, as they are; once all entries are read.

        Raises:
          ArchiveError: what follows is not zeros: to some readers it is a second archive.
        """
        data = self._rest
        while data:
            if data.strip(b"\0"):
                raise ArchiveError("has something after its end")
            yield data
            data = self._stream.read(_CHUNK)

    def _end(self, block: bytes) -> None:
        self._rest = block
        if block:
            second = self._take(BLOCK, "the end-of-archive marker")
            if second not in (b"", _ZERO):
                raise ArchiveError("a lone block of zeros between entries")
            self._rest += second
            self.ended = second != b""

    def _take(self, size: int, what: str) -> bytes:
        """Just so many bytes, or none at the end."""
        data: bytes = self._stream.read(size)
        while 0 < len(data) < size:
            more = self._stream.read(size - len(data))
            if not more:
                raise ArchiveError(f"ends within {what}")
            data += more
        return data

    def _extension(self, block: bytes) -> tuple[bytes, bytes]:
        """A header that belongs to the next entry, as it is, and its content."""
        size = _number(block[124:136], "size")
        if size > limits.EXTENSION:
            raise ArchiveError(f"a header of {size} bytes; more than {limits.EXTENSION} are not read")
        data = self._take(size + -size % BLOCK, "a header") if size else b""
        if len(data) < size:
            raise ArchiveError("ends within a header")
        return block + data, data[:size]

    def _sparse_blocks(self, block: bytes) -> bytes:
        """The further maps of an old GNU sparse file."""
        blocks: list[bytes] = []
        more = block[482]
        while more:
            piece = self._take(BLOCK, "a map of a sparse file")
            if not piece or len(blocks) == limits.SPARSE_BLOCKS:
                raise ArchiveError("a map of a sparse file that does not end")
            blocks.append(piece)
            more = piece[504]
        return b"".join(blocks)


def _member(block: bytes, records: dict[bytes, bytes], long: dict[bytes, bytes]) -> Member:
    """An entry by its header and those before it."""
    letter = block[156:157]
    what = _TYPES.get(letter)
    if what is None:
        raise ArchiveError(f"an entry of type {_show(letter)}, which layers do not have")
    member = Member()
    name = _one(_block_name(block), long.get(_LONG_NAME), records.get(b"GNU.sparse.name") or records.get(b"path"), "names")
    link = _one(_text(block[157:257]), long.get(_LONG_LINK), records.get(b"linkpath"), "targets")
    size = _pax_number(records, b"size", block[124:136])
    if what == FILE and name.endswith(b"/"):
        if size:
            raise ArchiveError(f"{_show(name)} is a file with content and ends with a slash")
        what = DIRECTORY
    if what == HARDLINK and size:
        raise ArchiveError(f"{_show(name)} is a hard link with content, which some readers pass over")
    member.type = what
    member.path = plain(name)
    member.link = plain(link) if what == HARDLINK else _decode(link)
    member.mode = _number(block[100:108], "mode") & 0o7777
    member.uid = _pax_number(records, b"uid", block[108:116])
    member.gid = _pax_number(records, b"gid", block[116:124])
    member.size = size if what == FILE else 0
    member.records = records
    member.sparse = letter == _OLD_SPARSE or any(key.startswith(b"GNU.sparse.") for key in records)
    member.header = block
    return member


def _block_name(block: bytes) -> bytes:
    """The name that a header itself has: ustar's and star's have a prefix."""
    name = _text(block[:100])
    if block[257:263] != b"ustar\0":
        return name
    prefix = _text(block[345:476] if block[508:512] == b"tar\0" else block[345:500])
    return prefix + b"/" + name if prefix else name


def _one(short: bytes, long: bytes | None, extended: bytes | None, what: str) -> bytes:
    """A name of which the header has the start, and others before it all."""
    if long is not None and extended is not None and long != extended:
        raise ArchiveError(f"an entry with two {what}, {_show(long)} and {_show(extended)}")
    for text in (long, extended):
        if text:
            if b"\0" in text:
                raise ArchiveError(f"{_show(text)} has a NUL")
            return text
    return short


def plain(name: bytes) -> str:
    """A name as a path: "usr/bin/x", "./usr//bin/x" and "/usr/bin/x" are all "/usr/bin/x".

    Raises:
      ArchiveError: there is none, or it has "..".
    """
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if not name or b".." in parts:
        raise ArchiveError(f'{_show(name)}: no name of an entry; ".." could lead anywhere')
    return "/" + _decode(b"/".join(parts))


def _records(data: bytes) -> dict[bytes, bytes]:
    """The records of a pax header: `length name=value\\n` each; the last of a name counts."""
    found: dict[bytes, bytes] = {}
    for name, value, _ in split_records(data):
        found[name] = value
        if not value:  # An empty value takes back what was said; so the header's own counts.
            del found[name]
    return found


def split_records(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, value and the bytes of each record in the content of a pax header.

    Raises:
      ArchiveError: they are none.
    """
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 8)
        digits = data[at:space] if space > 0 else b""
        end = at + int(digits) if digits.isdigit() else at
        record = data[at:end]
        name, equals, value = record[space + 1 - at : -1].partition(b"=")
        if end > len(data) or not record.endswith(b"\n") or not equals or not name:
            raise ArchiveError(f"a pax header with no record at byte {at}")
        yield name, value, record
        at = end


def _pax_number(records: dict[bytes, bytes], name: bytes, field: bytes) -> int:
    value = records.get(name)
    if value is None:
        return _number(field, name.decode())
    if not value.isdigit() or len(value) > 19:
        raise ArchiveError(f"a pax header with {name.decode()}={_show(value)}, which is no number")
    return int(value)


def _number(field: bytes, what: str) -> int:
    """An octal field, or GNU's of base 256."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] & 0x40 or value >= 1 << 63:
            raise ArchiveError(f"a header with a {what} below zero, or too large")
        return value
    text = field.partition(b"\0")[0].strip(b" ")
    if text.strip(b"01234567"):
        raise ArchiveError(f"a header with {what} {_show(field)}, which is no number")
    return int(text or b"0", 8)


def _check_sum(block: bytes) -> None:
    rest = block[:148] + _SPACES + block[156:]
    text = block[148:156].strip(b"\0 ")
    said = -1 if not text or text.strip(b"01234567") else int(text, 8)
    # Some old programs take the bytes for signed.
    if said != sum(rest) and said != sum(byte - 256 if byte > 127 else byte for byte in rest):
        raise ArchiveError("no tar, or a damaged one: a header whose checksum is wrong")


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _show(name: bytes) -> str:
    return quote(name[:200].decode("utf-8", "backslashreplace"))
