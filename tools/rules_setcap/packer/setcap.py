"""Changes the capabilities of the entries of a tar in one pass, and keeps all other bytes."""

from __future__ import annotations

import binascii
import itertools
import os
import tempfile

from rules_setcap import capabilities
from rules_setcap.archive import decompress, pax, reader, tar
from rules_setcap.archive.entry import DIRECTORY, FILE, HARDLINK, SYMLINK
from rules_setcap.archive.paths import is_utf8
from rules_setcap.archive.records import CAPABILITY_RECORD, CAPABILITY_TWIN
from rules_setcap.archive.budget import ReadBudget
from rules_setcap.diagnostics import files, limits
from rules_setcap.diagnostics.errors import InputError, problem, quote
from rules_setcap.diagnostics.suggestions import find_closest_path
from rules_setcap.executables import elf
from rules_setcap.oci.contents import Contents
from rules_setcap.packer import layer
from rules_setcap.packer.assignments import START, describe_link, unfit
from rules_setcap.packer.places import Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Iterator

    from rules_setcap.archive.blob import BlobWriter
    from rules_setcap.packer.assignments import Grant


FORBID, KEEP, REMOVE = "forbid", "keep", "remove"
_MAX_IN_MEMORY = 16 << 20  # Bytes of a program; the rest of a larger one is in a temporary file.


class Retrofit:
    """The capabilities that the entries of a tar are to have."""

    def __init__(self, source: str, grants: Iterable[Grant], others: str, drop_zero_rootid: bool, problems: list[str]) -> None:
        """
        Args:
          source: path of the tar: plain, or compressed by gzip, zstd or xz.
          grants: what files are to have; one that is `removed` takes it away.
          others: of capabilities that no grant names: KEEP them, REMOVE them, or FORBID them:
            one that is there is a problem.
          drop_zero_rootid: whether revision 3 with rootid 0 becomes revision 2, which it is to the kernel.
          problems: what is wrong already.
        """
        self._source = source
        self._grants = {grant.path: grant for grant in grants}
        self._others = others
        self._drop_zero_rootid = drop_zero_rootid
        self._problems = problems
        self._types: dict[str, str] = {}  # By path, of all entries so far.
        self._links: dict[str, str] = {}  # By path, targets of symbolic links.
        self._linked_grants: list[tuple[int, Grant]] = []  # Of symbolic links, with the number of the problem.
        self._original: dict[str, bytes] = {}  # By path, the capabilities that entries came with.
        self._carried: dict[str, bytes] = {}  # By path, those that they have now.
        self._work = ReadBudget(copies=True)
        self._contents = Contents(self._work)
        self._places = Places(os.path.getsize(source) if os.path.isfile(source) else 0)
        self._programs: dict[str, dict[str, Any] | None] = {}

    def write(self, output: str, *, compression: str, level: int, library: str, threads: int, created_by: str) -> dict[str, Any]:
        """Writes the layer; returns its metadata, as layer.write.

        Raises:
          InputError: the tar is not valid; a path of a grant is not in it, or cannot carry capabilities.
          OSError: the tar cannot be read, or the blob written.
        """
        with layer.new_blob(output, compression, level, library, threads) as blob:
            last = ""
            try:
                with files.open_regular(self._source) as file:
                    tape = reader.Archive(decompress.DecompressedStream(file, self._work))
                    for member in tape:
                        last = member.path
                        self._member(blob, member, tape.content())
                    if not tape.ended:
                        raise reader.ArchiveError("ends without an end-of-archive marker: a part is missing")
                    for piece in tape.rest():
                        blob.write(piece)
            except (reader.ArchiveError, decompress.DecompressionError) as error:
                where = f", after {quote(last)}" if last else ""
                self._problems.append(problem("tar", self._source, f"{error}{where}"))
            else:
                self._unused()
            for number, grant in self._linked_grants:
                self._problems.replace(number, problem(grant.attribute, grant.path, describe_link(grant.path, self._links.get)))
            if self._problems:
                raise InputError(self._problems)
        carried = {path: capabilities.from_xattr(value) for path, value in self._carried.items()}
        return layer.describe(blob, compression, carried, created_by, self._contents, self._programs)

    def _member(self, blob: BlobWriter, member: reader.Member, content: Iterator[bytes]) -> None:
        """Copies an entry, and changes its capabilities if they are to change."""
        first = next(content, b"")
        # Grants and metadata are about the files that entries become.
        member.path = self._places.locate(member.path)
        if fault := self._places.add(member, member.path):
            self._wrong("tar", member.path, fault)
        if member.type == HARDLINK:
            member.link = self._places.locate(member.link)
        if member.path in self._types and not self._types[member.path] == member.type == DIRECTORY:
            self._wrong("tar", member.path, "is there twice; unpackers take the later one, people may mean the other")
        self._types[member.path] = member.type
        if member.type == SYMLINK:
            self._links[member.path] = member.link
        said = self._said(member)
        value = self._linked(member, said) if member.type == HARDLINK else self._value(member, said, first[: min(START, member.size)])
        if value is not None:
            self._carried[member.path] = value
            if not is_utf8(member.path):
                self._wrong("tar", member.path, "has capabilities, and a name that is not UTF-8")
        if said is not None:
            self._original[member.path] = said
        blob.write(member.before)
        blob.write(_extended(member, value) if value != said or CAPABILITY_TWIN in member.records else member.extended)
        blob.write(member.between + member.header)
        self._contents.add_member(member)
        self._contents.add_start(member.path, member.mode, b"" if member.sparse else first[: member.size])
        program = tempfile.SpooledTemporaryFile(_MAX_IN_MEMORY) if value is not None and member.type == FILE and not member.sparse else None
        left = member.size
        for piece in itertools.chain([first], content):
            blob.write(piece)
            if program:
                program.write(piece[:left])
                left -= min(left, len(piece))
        if program:
            with program:
                self._programs[member.path] = elf.describe_program(program)  # type: ignore[arg-type]  # It has what BinaryIO has.

    def _said(self, member: reader.Member) -> bytes | None:
        """Returns the capabilities that an entry came with, in either record."""
        value = member.records.get(CAPABILITY_RECORD)
        twin = member.records.get(CAPABILITY_TWIN)
        if twin is None:
            return value
        try:
            twin = binascii.a2b_base64(twin + b"=" * (-len(twin) % 4))
        except binascii.Error:
            twin = b""
        if value is not None and twin != value and member.path not in self._grants and self._others != REMOVE:
            what = "its records SCHILY.xattr and LIBARCHIVE.xattr say different capabilities; say which in file_capabilities"
            self._wrong("tar", member.path, what)
        return twin if value is None else value

    def _value(self, member: reader.Member, said: bytes | None, start: bytes) -> bytes | None:
        """Returns the capabilities that an entry is to have."""
        grant = self._grants.pop(member.path, None)
        if grant is not None:
            if member.type == SYMLINK:
                # Entries that follow may tell where it leads.
                self._linked_grants.append((len(self._problems), grant))
                self._wrong(grant.attribute, member.path, "")
            elif fault := unfit(member.type, member.mode, None if member.sparse else start):
                self._wrong(grant.attribute, member.path, fault)
            return grant.value.to_xattr() if grant.value is not None else None
        if said is None or self._others == REMOVE:
            return None
        try:
            known = capabilities.from_xattr(said)
        except capabilities.CapabilityError as error:
            self._wrong("tar", member.path, f"invalid capabilities: {error}; say others in file_capabilities")
            return None
        if self._others == FORBID:
            what = f'has {known.to_text()}, and existing_capabilities is "forbid"; name it in file_capabilities, with "" to remove them'
            self._wrong("tar", member.path, what)
        return known.to_xattr() if self._drop_zero_rootid and not known.rootid else said

    def _linked(self, member: reader.Member, said: bytes | None) -> bytes | None:
        """Returns the capabilities of a hard link: those of its target, because lchown(2) on the link clears both."""
        grant = self._grants.pop(member.path, None)
        if grant is not None:
            self._wrong(grant.attribute, member.path, f"a hard link to {quote(member.link)}; name that")
        if member.link not in self._types:
            # Its target is in a layer below.
            return self._value(member, said, b"") if said is not None else None
        if said is not None and said != self._original.get(member.link):
            self._wrong("tar", member.path, f"a hard link with other capabilities than {quote(member.link)}, which is the same file")
        return self._carried.get(member.link)

    def _unused(self) -> None:
        """Adds a problem for each path that no entry has."""
        names = [path for path, type in self._types.items() if type == FILE] if self._grants else []
        for path, grant in self._grants.items():
            near = find_closest_path(path, names)
            what = "no entry of the tar has this path" + (f"; did you mean {quote(near)}?" if near else "")
            self._wrong(grant.attribute, path, what)

    def _wrong(self, attribute: str, value: str, what: str) -> None:
        self._problems.append(problem(attribute, value, what))


def _extended(member: reader.Member, value: bytes | None) -> bytes:
    """Returns the pax header of an entry with these capabilities; its other records stay as they were, in their order.

    Raises:
      ArchiveError: the header becomes too large.
    """
    records: list[bytes] = []
    twin = value is not None and CAPABILITY_TWIN in member.records
    left = {CAPABILITY_RECORD: value, CAPABILITY_TWIN: binascii.b2a_base64(value, newline=False).rstrip(b"=") if twin and value else None}
    for name, _, record in pax.split_records(member.extension):
        if name in left:
            new = left[name]
            left[name] = None
            record = tar.format_record(name, new) if new is not None else b""
        records.append(record)
    records += [tar.format_record(name, new) for name, new in left.items() if new is not None]
    extension = b"".join(records)
    if extension == member.extension:
        return member.extended
    if not extension:
        return b""
    if len(extension) > limits.EXTENSION:
        what = f"its pax header would have {len(extension)} bytes; container engines read at most {limits.EXTENSION}"
        raise reader.ArchiveError(f"{quote(member.path)}: {what}")
    if member.extended:
        return tar.replace_pax_content(member.extended[: tar.BLOCK], extension)
    return tar.format_pax_header(os.fsencode(member.path[1:]), extension)
