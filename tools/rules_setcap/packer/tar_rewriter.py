"""Copies a tar and changes the capabilities of its entries. All other bytes stay as they are."""

from __future__ import annotations

import binascii
import itertools
import os
import tempfile
from typing import TYPE_CHECKING

from rules_setcap import capabilities
from rules_setcap.archive import decompress, pax, reader, tar
from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.entry import DIRECTORY, FILE, HARDLINK, SYMLINK
from rules_setcap.archive.paths import is_utf8
from rules_setcap.archive.records import CAPABILITY_RECORD, CAPABILITY_TWIN
from rules_setcap.diagnostics import files, limits
from rules_setcap.diagnostics.errors import quote
from rules_setcap.diagnostics.suggestions import suggest_path
from rules_setcap.executables import elf
from rules_setcap.oci.layer_contents import LayerContents
from rules_setcap.packer import layer_writer
from rules_setcap.packer.assignments import START, describe_link, find_fault
from rules_setcap.packer.tar_tree import TarTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from rules_setcap.archive.blob import BlobWriter
    from rules_setcap.diagnostics.problems import Problems
    from rules_setcap.packer.assignments import Assignment

FORBID, KEEP, REMOVE = "forbid", "keep", "remove"
"""The values of the attribute existing_capabilities."""
_MAX_IN_MEMORY = 16 << 20  # Bytes of a program. A larger one is put into a temporary file to read its ELF headers.


class TarRewriter:
    """A copy of a tar with other capabilities, which is made in one pass."""

    def __init__(self, source: str, assignments: Iterable[Assignment], existing: str, drop_zero_rootid: bool) -> None:
        """Prepares the copy of a tar.

        Args:
        source: the path of the tar: uncompressed, or compressed by gzip, zstd or xz.
        assignments: the capabilities of single files; one without a value removes those of its file.
        existing: what happens to capabilities of files that no assignment names: KEEP, REMOVE, or FORBID if they are a
          problem.
        drop_zero_rootid: whether revision 3 with rootid 0 becomes revision 2, which means the same to the kernel.
        """
        self._source = source
        self._assignments = {assignment.path: assignment for assignment in assignments}  # Those that match no entry so far.
        self._existing = existing
        self._drop_zero_rootid = drop_zero_rootid
        self._problems: list[tuple[str, str, str]] = []  # Attribute, value, and what is wrong; "" for a symbolic link.
        self._types: dict[str, str] = {}  # Types of all entries so far, by path.
        self._links: dict[str, str] = {}  # Targets of symbolic links, by path.
        self._original: dict[str, bytes] = {}  # The capabilities that the tar has, by path.
        self._written: dict[str, bytes] = {}  # The capabilities that the copy has, by path.
        self._read_budget = ReadBudget(copies=True)
        self._contents = LayerContents(self._read_budget)
        self._tree = TarTree(os.path.getsize(source) if os.path.isfile(source) else 0)
        self._programs: dict[str, dict[str, Any] | None] = {}

    def write_layer(
        self, output: str, problems: Problems, *, compression: str, level: int, library: str, threads: int, created_by: str
    ) -> dict[str, Any]:
        """Writes the copy as a layer.

        Args:
          output: the path of the blob.
          problems: the collector of problems.
          compression: as for layer_writer.write_layer().
          level: as there.
          library: as there.
          threads: as there.
          created_by: as there.

        Returns:
          The metadata, as layer_writer.describe_layer() returns it.

        Raises:
          InputError: there are problems: the tar is not valid, or an assignment matches no file that can have capabilities.
          OSError: the tar cannot be read, or the blob cannot be written.
        """
        with layer_writer.open_blob(output, compression, level, library, threads) as blob:
            self._copy_tar(blob)
            for attribute, value, what in self._problems:
                problems.add(attribute, value, what or describe_link(value, self._links.get))
            problems.raise_if_any()
        written = {path: capabilities.from_xattr(value) for path, value in self._written.items()}
        return layer_writer.describe_layer(blob, compression, written, created_by, self._contents, self._programs)

    def _copy_tar(self, blob: BlobWriter) -> None:
        path = ""
        try:
            with files.open_regular(self._source) as file:
                stream = decompress.DecompressedStream(file, self._read_budget)
                archive = reader.TarReader(stream)
                for member in archive:
                    path = member.path
                    self._copy_member(blob, member, archive.read_content())
                archive.check_end(stream.codec)
                for piece in archive.read_rest():
                    blob.write(piece)
                if not archive.ended:
                    blob.write(tar.END)
        except (reader.TarError, decompress.DecompressionError) as error:
            where = f", after {quote(path)}" if path else ""
            self._add_problem("tar", self._source, f"{error}{where}")
        else:
            self._report_unmatched()

    def _copy_member(self, blob: BlobWriter, member: reader.Member, content: Iterator[bytes]) -> None:
        """Copies an entry, and changes its capabilities if that is necessary."""
        first = next(content, b"")
        # Assignments and metadata are about the file that a container engine makes of the entry.
        member.path = self._tree.locate(member.path)
        if fault := self._tree.add(member, member.path):
            self._add_problem("tar", member.path, fault)
        if member.type == HARDLINK:
            member.link = self._tree.locate(member.link)
        if member.path in self._types and not self._types[member.path] == member.type == DIRECTORY:
            self._add_problem("tar", member.path, "is there twice; unpackers take the later one, people may mean the other")
        self._types[member.path] = member.type
        if member.type == SYMLINK:
            self._links[member.path] = member.link
        existing = self._read_existing(member)
        if member.type == HARDLINK:
            value = self._choose_for_hard_link(member, existing)
        else:
            value = self._choose(member, existing, first[: min(START, member.size)])
        if value is not None:
            self._written[member.path] = value
            if not is_utf8(member.path):
                self._add_problem("tar", member.path, "has capabilities, and a name that is not UTF-8")
        if existing is not None:
            self._original[member.path] = existing
        blob.write(member.before)
        changes = value != existing or CAPABILITY_TWIN in member.records
        blob.write(rewrite_pax_header(member, value) if changes else member.extended)
        blob.write(member.between + member.header)
        self._contents.add_member(member)
        self._contents.add_start(member.path, member.mode, b"" if member.sparse else first[: member.size])
        is_program = value is not None and member.type == FILE and not member.sparse
        self._copy_content(blob, member, itertools.chain([first], content), is_program)

    def _copy_content(self, blob: BlobWriter, member: reader.Member, content: Iterable[bytes], is_program: bool) -> None:
        """Copies the content of an entry; reads the ELF headers of a program."""
        if not is_program:
            for piece in content:
                blob.write(piece)
            return
        left = member.size
        with tempfile.SpooledTemporaryFile(_MAX_IN_MEMORY) as program:
            for piece in content:
                blob.write(piece)
                program.write(piece[:left])  # The last piece has padding.
                left -= min(left, len(piece))
            self._programs[member.path] = elf.describe_program(program)  # type: ignore[arg-type]  # It has what BinaryIO has.

    def _read_existing(self, member: reader.Member) -> bytes | None:
        """Returns the capabilities that an entry of the tar has, in either record."""
        value = member.records.get(CAPABILITY_RECORD)
        twin = member.records.get(CAPABILITY_TWIN)
        if twin is None:
            return value
        try:
            twin = binascii.a2b_base64(twin + b"=" * (-len(twin) % 4))
        except binascii.Error:
            twin = b""
        if value is not None and twin != value and member.path not in self._assignments and self._existing != REMOVE:
            what = "its records SCHILY.xattr and LIBARCHIVE.xattr have different capabilities; assign the right ones by file_capabilities"
            self._add_problem("tar", member.path, what)
        return twin if value is None else value

    def _choose(self, member: reader.Member, existing: bytes | None, start: bytes) -> bytes | None:
        """Returns the capabilities of an entry of the copy.

        Args:
          member: the entry of the tar.
          existing: its capabilities; None if it has none.
          start: the first bytes of its content.
        """
        assignment = self._assignments.pop(member.path, None)
        if assignment is not None:
            if member.type == SYMLINK:
                # The message names the file that the link leads to, which later entries may change.
                self._add_problem(assignment.attribute, member.path, "")
            elif fault := find_fault(member.type, member.mode, None if member.sparse else start):
                self._add_problem(assignment.attribute, member.path, fault)
            return assignment.value.to_xattr() if assignment.value is not None else None
        if existing is None or self._existing == REMOVE:
            return None
        try:
            known = capabilities.from_xattr(existing)
        except capabilities.CapabilityError as error:
            self._add_problem("tar", member.path, f"invalid capabilities: {error}; assign others by file_capabilities")
            return None
        if self._existing == FORBID:
            what = f'has {known.to_text()}, and existing_capabilities is "forbid"; name it in file_capabilities, with "" to remove them'
            self._add_problem("tar", member.path, what)
        return known.to_xattr() if self._drop_zero_rootid and not known.rootid else existing

    def _choose_for_hard_link(self, member: reader.Member, existing: bytes | None) -> bytes | None:
        """Returns the capabilities of a hard link of the copy: those of its target, because lchown(2) on the link clears both."""
        assignment = self._assignments.pop(member.path, None)
        if assignment is not None:
            self._add_problem(assignment.attribute, member.path, f"a hard link to {quote(member.link)}; name that")
        if member.link not in self._types:
            # The target is in a lower layer.
            return self._choose(member, existing, b"") if existing is not None else None
        if existing is not None and existing != self._original.get(member.link):
            what = f"a hard link with other capabilities than {quote(member.link)}, which is the same file"
            self._add_problem("tar", member.path, what)
        return self._written.get(member.link)

    def _report_unmatched(self) -> None:
        """Adds a problem for each assignment that matches no entry."""
        if not self._assignments:
            return
        paths = [path for path, kind in self._types.items() if kind == FILE]
        for path, assignment in self._assignments.items():
            self._add_problem(assignment.attribute, path, "no entry of the tar has this path" + suggest_path(path, paths))

    def _add_problem(self, attribute: str, value: str, what: str) -> None:
        self._problems.append((attribute, value, what))


def rewrite_pax_header(member: reader.Member, value: bytes | None) -> bytes:
    """Returns the pax header of an entry with other capabilities. Its other records stay as they are, in their order.

    Args:
      member: the entry.
      value: the capabilities; None to remove them.

    Raises:
      TarError: the header becomes too large.
    """
    records: list[bytes] = []
    has_twin = value is not None and CAPABILITY_TWIN in member.records
    twin = binascii.b2a_base64(value, newline=False).rstrip(b"=") if has_twin and value else None
    left = {CAPABILITY_RECORD: value, CAPABILITY_TWIN: twin}
    for name, _, record in pax.split_records(member.extension):
        if name in left:
            new = left[name]
            left[name] = None
            if new is not None:
                records.append(tar.format_record(name, new))
        else:
            records.append(record)
    records += [tar.format_record(name, new) for name, new in left.items() if new is not None]
    extension = b"".join(records)
    if extension == member.extension:
        return member.extended
    if not extension:
        return b""
    if len(extension) > limits.EXTENSION:
        what = f"its pax header would have {len(extension)} bytes; container engines read at most {limits.EXTENSION}"
        raise reader.TarError(f"{quote(member.path)}: {what}")
    if member.extended:
        return tar.replace_pax_content(member.extended[: tar.BLOCK], extension)
    return tar.format_pax_header(os.fsencode(member.path[1:]), extension)
