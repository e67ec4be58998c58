"""A streaming tar reader that keeps the raw header bytes of each entry.

It reads archives as Go's archive/tar does, which containerd, Docker, umoci and podman use, and refuses an archive that programs
read in different ways. Three modules do the parsing: headers for headers, pax for pax records, sparse for the maps of sparse
files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.archive import headers, pax, sparse
from rules_setcap.archive.entry import DIRECTORY, FILE, HARDLINK, SYMLINK
from rules_setcap.archive.headers import Header, HeaderError, TarError, quote_bytes
from rules_setcap.archive.tar import BLOCK
from rules_setcap.diagnostics import limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rules_setcap.archive.budget import ReadBudget

__all__ = ["Member", "TarError", "TarReader", "normalize_name"]

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
    """An entry of a tar that was read.

    Attributes:
      path: the absolute, normalized path; "/" for the root. os.fsdecode() tells how it holds bytes that are not UTF-8.
      type: FILE, DIRECTORY, SYMLINK or HARDLINK of entry.py, or "fifo", "character device" or "block device".
      mode: the permission bits.
      uid: the owner.
      gid: the group.
      size: the size of the content in the archive in bytes.
      link: the target of a link; that of a hard link is absolute and normalized.
      records: the values of the pax records by name.
      sparse: whether the content is the pieces of a sparse file, possibly after their map.
      offset: the byte of the archive at which `header` begins.
      before: the bytes of the headers that come before `extended` and belong to the member.
      extended: the bytes of the pax header with its content, or nothing.
      extension: the content of the pax header.
      between: the bytes of the headers between `extended` and `header`.
      header: the bytes of the member's own header.
    """

    __slots__ = (
        "before",
        "between",
        "extended",
        "extension",
        "gid",
        "header",
        "link",
        "mode",
        "offset",
        "path",
        "records",
        "size",
        "sparse",
        "type",
        "uid",
    )

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


class TarReader:
    """A tar that is read once, from start to end.

    Attributes:
      ended: whether the archive had an end-of-archive marker; known when all members were read (see check_end).
    """

    def __init__(self, stream: Any, budget: ReadBudget | None = None) -> None:
        """Reads nothing yet.

        Args:
          stream: an object with read(size), which returns fewer bytes only at the end, and possibly skip(size), which returns how many
            bytes it has skipped.
          budget: counts the memory of the members if the caller keeps them.
        """
        self._budget = budget
        self.ended = False
        self._stream = stream
        self._offset = 0  # The number of bytes that were read.
        self._start = b""  # Content of the member that was read ahead.
        self._left = 0  # The number of bytes of the content that were not read yet.
        self._padding = 0  # The number of bytes of its padding.
        self._rest = b""  # The bytes that come after the last member and were read.
        self._records = 0  # The number of pax records and pieces of sparse files so far.

    @property
    def offset(self) -> int:
        """The number of bytes that were read."""
        return self._offset

    def __iter__(self) -> Iterator[Member]:
        """Yields the members. Content that the caller does not read is skipped.

        Raises:
          TarError: the archive is not a tar, is truncated, or programs read it in different ways.
        """
        preceding = _PrecedingHeaders()
        while True:
            self._skip_content()
            offset = self._offset
            block = self._read_exactly(BLOCK, "a header")
            if block in (b"", _ZERO):
                if preceding.texts or preceding.extended:
                    raise TarError(f"ends at byte {offset} after a header that belongs to the next entry")
                self._read_end(b"".join(preceding.raw) + block, block)
                return
            try:
                header = headers.parse_header(block)
                if header.kind in (_LOCAL, _GLOBAL, _LONG_NAME, _LONG_LINK):
                    data = self._read_extension(header.size)
                    self._count_records(data.count(b"\n"))
                    preceding.add(header, block, data)
                    continue
                member = _make_member(header, preceding)
                member.header, member.offset = block, offset
                if sparse.is_sparse(preceding.records) and header.kind != _FILE:
                    raise HeaderError(f"type {quote_bytes(header.kind)} cannot have records of a sparse file")
                if header.kind == _OLD_SPARSE:
                    member.header += sparse.read_map_blocks(block, self._read_map_block)
                    sparse.check_block_map(member.header, member.size)
                    member.sparse = True
                elif sparse.is_sparse(preceding.records):
                    self._start = sparse.check_record_map(preceding.records, member.size, self._read_map_block)
                    member.sparse = True
            except HeaderError as error:
                raise TarError(f"the header at byte {offset}: {error}") from None
            self._left, self._padding = member.size - len(self._start), -member.size % BLOCK
            if self._budget is not None:
                self._budget.spend_path(member.path, member.link)
            yield member
            if preceding.raw or preceding.extended:
                preceding = _PrecedingHeaders()

    def read_content(self) -> Iterator[bytes]:
        """Yields the content of the last member in pieces, as far as it was not read yet, and then its padding.

        Raises:
          TarError: the archive is truncated.
        """
        if self._start:
            start, self._start = self._start, b""
            yield start
        while self._left:
            data = self._read_exactly(min(self._left, _CHUNK), "the content of an entry")
            if not data:
                raise TarError(f"ends within the content of an entry, at byte {self._offset}")
            self._left -= len(data)
            yield data
        if self._padding:
            padding, self._padding = self._read_exactly(self._padding, "padding"), 0
            if not padding:
                raise TarError(f"ends within the content of an entry, at byte {self._offset}")
            yield padding

    def read_rest(self) -> Iterator[bytes]:
        """Yields the end-of-archive marker and the bytes that follow it, after all members were read.

        Raises:
          TarError: other bytes are not all zeros: some programs read a second archive there.
        """
        yield self._rest
        data = self._stream.read(BLOCK) if self.ended else b""
        if size := headers.read_stargz_index_size(data):
            self._offset, self._left, self._padding = self._offset + BLOCK, size, -size % BLOCK
            yield data
            yield from self.read_content()
            data = self._stream.read(_CHUNK)
        while data:
            if data.strip(b"\0"):
                at = self._offset + len(data) - len(data.lstrip(b"\0"))
                raise TarError(f"has something after its end, at byte {at}")
            self._offset += len(data)
            yield data
            data = self._stream.read(_CHUNK)

    def check_end(self, codec: str) -> None:
        """Raises TarError if a part may be missing, after all members were read; `codec` is that of the stream."""
        # A compressed stream has an end of its own. rules_img writes no marker, and container engines need none.
        if not self.ended and (codec == "none" or not self._offset):
            raise TarError(f"ends without an end-of-archive marker: {'a part is missing' if self._offset else 'it is empty'}")

    def _skip_content(self) -> None:
        """Skips the content of the last member, as far as it was not read yet; by skip() of the stream if it has that."""
        if self._left and hasattr(self._stream, "skip"):
            size = self._left + self._padding
            skipped = self._stream.skip(size)
            self._offset += skipped
            if skipped < size:
                raise TarError(f"ends within the content of an entry, at byte {self._offset}")
            self._start, self._left, self._padding = b"", 0, 0
        for _ in self.read_content():
            pass

    def _read_end(self, rest: bytes, block: bytes) -> None:
        """Reads the second block of the end-of-archive marker.

        Args:
          rest: the bytes after the last member: global headers, and the first block.
          block: the first block; empty at the end of the file.
        """
        self._rest = rest
        if block:
            second = self._read_exactly(BLOCK, "the end-of-archive marker")
            if second not in (b"", _ZERO):
                raise TarError(f"a lone block of zeros before byte {self._offset - BLOCK}, where some programs stop")
            self._rest += second
            self.ended = second != b""

    def _read_exactly(self, size: int, what: str) -> bytes:
        """Reads exactly `size` bytes, or none at the end of the archive; `what` is for the message."""
        data: bytes = self._stream.read(size)
        while 0 < len(data) < size:
            more = self._stream.read(size - len(data))
            if not more:
                raise TarError(f"ends within {what}, at byte {self._offset + len(data)}")
            data += more
        self._offset += len(data)
        return data

    def _read_extension(self, size: int) -> bytes:
        """Reads the content of a header that belongs to another header, and its padding."""
        if size > limits.EXTENSION:
            raise HeaderError(f"its content has {size} bytes; more than {limits.EXTENSION} are not read")
        data = self._read_exactly(size + -size % BLOCK, "a header") if size else b""
        if len(data) < size:
            raise TarError(f"ends within a header, at byte {self._offset}")
        return data

    def _read_map_block(self) -> bytes:
        """Reads a block of the map of a sparse file."""
        block = self._read_exactly(BLOCK, "the map of a sparse file")
        if not block:
            raise TarError(f"ends within the map of a sparse file, at byte {self._offset}")
        self._count_records(max(block.count(b"\n"), BLOCK // 24))
        return block

    def _count_records(self, records: int) -> None:
        """Counts pax records and pieces of sparse files.

        Raises:
          HeaderError: there are too many (limits.RECORDS).
        """
        self._records += records
        if self._records > limits.RECORDS:
            raise HeaderError(f"more than {limits.RECORDS} pax records and pieces of sparse files")


class _PrecedingHeaders:
    """The headers before a member that belong to it.

    Attributes:
      raw: the bytes of each header before the pax header of the member; of all headers if there is none.
      between: the bytes of each header after the pax header.
      size: the number of bytes in both lists.
      extended, extension, records: as in Member.
      texts: the content of GNU tar's headers for a long name and a long target, by kind.
    """

    __slots__ = ("between", "extended", "extension", "raw", "records", "size", "texts")

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
          header: the fields of the header.
          block: the bytes of the header.
          data: the content of the header, with padding.

        Raises:
          HeaderError: the header is not valid here.
        """
        kind, content = header.kind, data[: header.size]
        if kind == _LOCAL:
            if self.extended:
                raise HeaderError("a second pax header for one entry")
            self.extended, self.extension, self.records = block + data, content, pax.parse_records(content)
            return
        (self.between if self.extended else self.raw).append(block + data)
        self.size += BLOCK + len(data)
        if self.size > 2 * limits.EXTENSION:
            raise HeaderError(f"headers of more than {2 * limits.EXTENSION} bytes before one entry")
        if kind == _GLOBAL:
            # Go drops the headers before a global header.
            if self.texts or self.extended:
                raise HeaderError("a pax header for all entries is between an entry and its own headers")
            pax.check_global_records(content)
            return
        name = content.rstrip(b"\0")
        if not name or b"\0" in name:
            raise HeaderError(f"long name or target {quote_bytes(content)} is empty or has a NUL")
        if self.texts.setdefault(kind, name) != name:
            raise HeaderError("a second long name or target for one entry")


def _make_member(header: Header, preceding: _PrecedingHeaders) -> Member:
    """Returns the member that its headers describe."""
    kind = _TYPES.get(header.kind)
    if kind is None:
        raise HeaderError(f"type {quote_bytes(header.kind)} is not a type that entries of layers have")
    if header.kind == _OLD_SPARSE and not header.is_gnu:
        raise HeaderError("a sparse file of star, which container engines cannot read")
    records, size, uid, gid = preceding.records, header.size, header.uid, header.gid
    name, link = header.name, header.link
    if records or preceding.texts:
        name = pax.choose_name(
            name, preceding.texts.get(_LONG_NAME), records.get(b"GNU.sparse.name") or records.get(b"path"), "names"
        )
        link = pax.choose_name(link, preceding.texts.get(_LONG_LINK), records.get(b"linkpath"), "targets")
        size, uid, gid = pax.choose_size(records, size), pax.choose_id(records, b"uid", uid), pax.choose_id(records, b"gid", gid)
    if kind not in (HARDLINK, SYMLINK) and (_LONG_LINK in preceding.texts or b"linkpath" in records):
        raise HeaderError(f"{quote_bytes(name)} is a {kind} with the target of a link; bsdtar takes it for a link")
    if kind == FILE and (name.endswith(b"/") or (header.kind == _OLD_FILE and header.name.endswith(b"/"))):
        # A name with a slash at its end is a directory to Go and others if the type is NUL, and to others if it is "0".
        if header.kind != _OLD_FILE or size or not (name.endswith(b"/") and header.name.endswith(b"/")):
            raise HeaderError(
                f"{quote_bytes(name)} is a file and its name ends with a slash, which some programs take for a directory"
            )
        kind = DIRECTORY
    if size and kind not in (FILE, DIRECTORY):
        raise HeaderError(
            f"{quote_bytes(name)} is a {_WORDS.get(kind, kind)} of size {size}; some programs look for content after it"
        )
    member = Member()
    member.type = kind
    member.path = normalize_name(name)
    if member.path == "/" and kind != DIRECTORY:
        raise HeaderError(f"{quote_bytes(name)} is a {_WORDS.get(kind, kind)}; the root must be a directory")
    member.link = normalize_name(link) if kind == HARDLINK else _decode(link)
    member.mode = header.mode & 0o7777
    member.uid = uid
    member.gid = gid
    member.size = size if kind == FILE else 0
    member.records = records
    member.sparse = False
    member.before, member.between = b"".join(preceding.raw), b"".join(preceding.between)
    member.extended, member.extension = preceding.extended, preceding.extension
    return member


def normalize_name(name: bytes) -> str:
    """Returns the path that a name stands for: "usr/bin/x", "./usr//bin/x" and "/usr/bin/x" all stand for "/usr/bin/x".

    Raises:
      HeaderError: the name is empty, or has "..".
    """
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if not name or b".." in parts:
        raise HeaderError(f'{quote_bytes(name)} is not a valid name of an entry; it must not be empty or have ".."')
    return "/" + _decode(b"/".join(parts))


def _decode(name: bytes) -> str:
    """Returns a name as os.fsdecode() does, whatever the locale is."""
    return name.decode("utf-8", "surrogateescape")
