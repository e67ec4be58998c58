"""A streaming tar reader that keeps the raw header bytes of each entry.

It reads what Go's archive/tar reads, which containerd, Docker, umoci and podman use, and
refuses an archive that programs read in different ways. The module headers parses headers,
pax their extensions and sparse the maps of sparse files.
"""

from __future__ import annotations

from rules_setcap.archive import headers, pax, sparse
from rules_setcap.archive.entry import DIRECTORY, FILE, HARDLINK, SYMLINK
from rules_setcap.archive.headers import ArchiveError, Header, HeaderError, show
from rules_setcap.archive.tar import BLOCK
from rules_setcap.diagnostics import limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from rules_setcap.archive.work import Work

__all__ = ["Archive", "ArchiveError", "Member", "plain"]

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
_WORDS = {HARDLINK: "hard link", SYMLINK: "symbolic link"}
_LOCAL, _GLOBAL, _LONG_NAME, _LONG_LINK, _FILE, _OLD_FILE, _OLD_SPARSE = b"x", b"g", b"L", b"K", b"0", b"\0", b"S"
_CHUNK = 1 << 20
_ZERO = bytes(BLOCK)


class Member:
    """An entry.

    Attributes:
      path: str, absolute and normalized; "/" for the root. Bytes that are not UTF-8 are as in os.fsdecode(3).
      type: str, as of the entries that are packed; or "fifo", "character device", "block device".
      mode: int, permissions.
      uid: int.
      gid: int.
      size: int, bytes of content in the archive.
      link: str, the target of a link; of a hard link, absolute and normalized.
      records: dict, the pax records by name, bytes both.
      sparse: bool, whether the content is a map and pieces of the file.
      offset: int, where its own header begins, in bytes.
      before: bytes, the other headers before it, up to its pax header.
      extended: bytes, its pax header with the content, or nothing.
      extension: bytes, the content of the pax header.
      between: bytes, the headers between the pax header and its own.
      header: bytes, its own header.
    """

    __slots__ = ("path", "type", "mode", "uid", "gid", "size", "link", "records", "sparse", "offset", "before", "extended", "extension", "between", "header")

    path: str
    type: str
    mode: int
    uid: int
    gid: int
    size: int
    link: str
    records: dict[bytes, bytes]
    sparse: bool
    offset: int
    before: bytes
    extended: bytes
    extension: bytes
    between: bytes
    header: bytes


class Archive:
    """A tar that is read once, from start to end.

    Attributes:
      ended: bool, whether there was an end-of-archive marker.
    """

    def __init__(self, stream: Any, work: Work | None = None) -> None:
        """
        Args:
          stream: an object with read(size), which returns fewer bytes only at the end.
          work: counts the memory of the entries, where the caller keeps them.
        """
        self._work = work
        self.ended = False
        self._stream = stream
        self._offset = 0  # Bytes that were read.
        self._start = b""  # Content that was read ahead.
        self._left = 0  # Bytes of content that were not read yet, and of its padding.
        self._padding = 0
        self._rest = b""
        self._records = 0  # Pax records and pieces of sparse files so far.

    def __iter__(self) -> Iterator[Member]:
        """Yields the entries. Content that is not read is skipped.

        Raises:
          ArchiveError: the archive is not a tar, is truncated, or programs read it in different ways.
        """
        before = _Before()
        while True:
            for _ in self.content():
                pass
            offset = self._offset
            block = self._take(BLOCK, "a header")
            if block in (b"", _ZERO):
                if before.texts or before.extended:
                    raise ArchiveError(f"ends at byte {offset} after a header that belongs to the next entry")
                self._end(b"".join(before.raw) + block, block)
                return
            try:
                header = headers.parse(block)
                if header.kind in (_LOCAL, _GLOBAL, _LONG_NAME, _LONG_LINK):
                    data = self._extension(header.size)
                    self._count(data.count(b"\n"))
                    before.add(header, block, data)
                    continue
                member = _member(header, before)
                member.header, member.offset = block, offset
                if sparse.is_sparse(before.records) and header.kind != _FILE:
                    raise HeaderError(f"type {show(header.kind)} cannot have records of a sparse file")
                if header.kind == _OLD_SPARSE:
                    member.header += sparse.read_blocks(block, self._map)
                    sparse.check_blocks(member.header, member.size)
                    member.sparse = True
                elif sparse.is_sparse(before.records):
                    self._start = sparse.check_records(before.records, member.size, self._map)
                    member.sparse = True
            except HeaderError as error:
                raise ArchiveError(f"the header at byte {offset}: {error}") from None
            self._left, self._padding = member.size - len(self._start), -member.size % BLOCK
            if self._work is not None:
                self._work.keep_member(member)
            yield member
            if before.raw or before.extended:
                before = _Before()

    def content(self) -> Iterator[bytes]:
        """Yields what was not read yet of the entry's content, in pieces, and then its padding.

        Raises:
          ArchiveError: the archive is truncated.
        """
        if self._start:
            start, self._start = self._start, b""
            yield start
        while self._left:
            data = self._take(min(self._left, _CHUNK), "the content of an entry")
            if not data:
                raise ArchiveError(f"ends within the content of an entry, at byte {self._offset}")
            self._left -= len(data)
            yield data
        if self._padding:
            padding, self._padding = self._take(self._padding, "padding"), 0
            if not padding:
                raise ArchiveError(f"ends within the content of an entry, at byte {self._offset}")
            yield padding

    def rest(self) -> Iterator[bytes]:
        """Yields the end-of-archive marker and what follows it, after all entries were read.

        Raises:
          ArchiveError: it is not all zeros: some programs read a second archive there.
        """
        data = self._rest
        yield data
        while data := self._stream.read(_CHUNK):
            if data.strip(b"\0"):
                at = self._offset + len(data) - len(data.lstrip(b"\0"))
                raise ArchiveError(f"has something after its end, at byte {at}")
            self._offset += len(data)
            yield data

    def _end(self, rest: bytes, block: bytes) -> None:
        """Reads the second block of the end-of-archive marker.

        Args:
          rest: what comes after the last entry: global headers, and the first block.
          block: the first block, empty at the end of the file.
        """
        self._rest = rest
        if block:
            second = self._take(BLOCK, "the end-of-archive marker")
            if second not in (b"", _ZERO):
                raise ArchiveError(f"a lone block of zeros before byte {self._offset - BLOCK}, where some programs stop")
            self._rest += second
            self.ended = second != b""

    def _take(self, size: int, what: str) -> bytes:
        """Reads exactly `size` bytes, or none at the end."""
        data: bytes = self._stream.read(size)
        while 0 < len(data) < size:
            more = self._stream.read(size - len(data))
            if not more:
                raise ArchiveError(f"ends within {what}, at byte {self._offset + len(data)}")
            data += more
        self._offset += len(data)
        return data

    def _extension(self, size: int) -> bytes:
        """Reads the content of a header that belongs to another, and its padding."""
        if size > limits.EXTENSION:
            raise HeaderError(f"its content has {size} bytes; more than {limits.EXTENSION} are not read")
        data = self._take(size + -size % BLOCK, "a header") if size else b""
        if len(data) < size:
            raise ArchiveError(f"ends within a header, at byte {self._offset}")
        return data

    def _map(self) -> bytes:
        """Reads a block of the map of a sparse file."""
        block = self._take(BLOCK, "the map of a sparse file")
        if not block:
            raise ArchiveError(f"ends within the map of a sparse file, at byte {self._offset}")
        self._count(max(block.count(b"\n"), BLOCK // 24))
        return block

    def _count(self, records: int) -> None:
        """Counts pax records and pieces of sparse files."""
        self._records += records
        if self._records > limits.RECORDS:
            raise HeaderError(f"more than {limits.RECORDS} pax records and pieces of sparse files")


class _Before:
    """The headers before an entry that belong to it.

    Attributes:
      raw: list of bytes, those before the pax header of the entry, and all if there is none.
      between: list of bytes, those after the pax header.
      size: int, bytes of both lists.
      extended, extension, records: as of Member.
      texts: dict, the content of GNU tar's headers for a long name and a long target, by type.
    """

    __slots__ = ("raw", "between", "size", "extended", "extension", "records", "texts")

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.between: list[bytes] = []
        self.size = 0
        self.extended = self.extension = b""
        self.records: dict[bytes, bytes] = {}
        self.texts: dict[bytes, bytes] = {}

    def add(self, header: Header, block: bytes, data: bytes) -> None:
        """Adds a header.

        Args:
          header: its fields.
          block: its bytes.
          data: its content, with padding.

        Raises:
          HeaderError: it is not valid.
        """
        kind, content = header.kind, data[: header.size]
        if kind == _LOCAL:
            if self.extended:
                raise HeaderError("a second pax header for one entry")
            self.extended, self.extension, self.records = block + data, content, pax.parse(content)
            return
        (self.between if self.extended else self.raw).append(block + data)
        self.size += BLOCK + len(data)
        if self.size > 2 * limits.EXTENSION:
            raise HeaderError(f"headers of more than {2 * limits.EXTENSION} bytes before one entry")
        if kind == _GLOBAL:
            # Go forgets the headers before a global one.
            if self.texts or self.extended:
                raise HeaderError("a pax header for all entries is between an entry and its own headers")
            pax.check_global(content)
            return
        name = content.rstrip(b"\0")
        if not name or b"\0" in name:
            raise HeaderError(f"long name or target {show(content)} is empty or has a NUL")
        if self.texts.setdefault(kind, name) != name:
            raise HeaderError("a second long name or target for one entry")


def _member(header: Header, before: _Before) -> Member:
    """Returns the entry that headers describe."""
    what = _TYPES.get(header.kind)
    if what is None:
        raise HeaderError(f"type {show(header.kind)} is not a type that entries of layers have")
    if header.kind == _OLD_SPARSE and not header.gnu:
        raise HeaderError("a sparse file of star, which container engines cannot read")
    records, size, uid, gid = before.records, header.size, header.uid, header.gid
    name, link = header.name, header.link
    if records or before.texts:
        name = _one(name, before.texts.get(_LONG_NAME), records.get(b"GNU.sparse.name") or records.get(b"path"), "names")
        link = _one(link, before.texts.get(_LONG_LINK), records.get(b"linkpath"), "targets")
        size, uid, gid = pax.size(records, size), pax.owner(records, b"uid", uid), pax.owner(records, b"gid", gid)
    if what not in (HARDLINK, SYMLINK) and (_LONG_LINK in before.texts or b"linkpath" in records):
        raise HeaderError(f"{show(name)} is a {what} with the target of a link; bsdtar takes it for a link")
    if what == FILE and (name.endswith(b"/") or header.kind == _OLD_FILE and header.name.endswith(b"/")):
        # Go and others take a name with a slash for a directory if the type is NUL; for type "0", others do.
        if header.kind != _OLD_FILE or size or not (name.endswith(b"/") and header.name.endswith(b"/")):
            raise HeaderError(f"{show(name)} is a file and its name ends with a slash, which some programs take for a directory")
        what = DIRECTORY
    if size and what not in (FILE, DIRECTORY):
        raise HeaderError(f"{show(name)} is a {_WORDS.get(what, what)} of size {size}; some programs look for content after it")
    member = Member()
    member.type = what
    member.path = plain(name)
    if member.path == "/" and what != DIRECTORY:
        raise HeaderError(f"{show(name)} is a {_WORDS.get(what, what)}; the root must be a directory")
    member.link = plain(link) if what == HARDLINK else _decode(link)
    member.mode = header.mode & 0o7777
    member.uid = uid
    member.gid = gid
    member.size = size if what == FILE else 0
    member.records = records
    member.sparse = False
    member.before, member.between = b"".join(before.raw), b"".join(before.between)
    member.extended, member.extension = before.extended, before.extension
    return member


def _one(short: bytes, long: bytes | None, extended: bytes | None, what: str) -> bytes:
    """Returns a name: the header's own, unless a header before it has another."""
    if long is not None and extended is not None and long != extended:
        raise HeaderError(f"an entry with two {what}, {show(long)} and {show(extended)}")
    return long or extended or short


def plain(name: bytes) -> str:
    """Normalizes a name: "usr/bin/x", "./usr//bin/x" and "/usr/bin/x" are all "/usr/bin/x".

    Raises:
      HeaderError: the name is empty, or has "..".
    """
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if not name or b".." in parts:
        raise HeaderError(f'{show(name)} is not a valid name of an entry; it must not be empty or have ".."')
    return "/" + _decode(b"/".join(parts))


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
