"""Reads the layers of an image one after the other, and collects what an Image has."""

from __future__ import annotations

import binascii
import io
from typing import TYPE_CHECKING, Any

from rules_setcap import capabilities
from rules_setcap.archive.entry import FILE, HARDLINK
from rules_setcap.archive.records import CAPABILITY, CAPABILITY_RECORD, CAPABILITY_TWIN, OVERLAY, XATTR
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote
from rules_setcap.executables import elf
from rules_setcap.oci.engines.comparison import (
    DECISIVE_RECORDS,
    REFUSED,
    CapabilityDifference,
    shorten_entries,
    unpack_by_engines,
)
from rules_setcap.oci.image import Difference, Image, Layer, ProgramHeaders, follow_path
from rules_setcap.oci.root_filesystem import RootFilesystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from rules_setcap.archive.reader import Member, TarReader
    from rules_setcap.capabilities import FileCapabilities
    from rules_setcap.oci.archive_detection import ArchiveDetector

_PASSWD, _GROUP = "/etc/passwd", "/etc/group"
_OPAQUE_RECORD = OVERLAY + b"opaque"


class LayerReader:
    """Reads the layers of an image, the lowest first.

    Attributes:
      layers: the layers that have been read.
    """

    def __init__(self) -> None:
        """Starts without layers."""
        self.layers: list[Layer] = []
        self._root = RootFilesystem()
        self._problems: list[str] = []
        self._overlay_problems: list[str] = []  # Of entries with attributes of overlayfs.
        self._has_capabilities = False
        self._id_files: dict[tuple[int, int], bytes] = {}  # /etc/passwd and /etc/group, by layer and entry.
        self._texts: dict[tuple[int, int], bytes] = {}  # See Image.
        self._programs: dict[tuple[int, int], ProgramHeaders] = {}
        self._script_bytes_left = limits.SCRIPT_TEXTS

    def add_layer(self, archive: TarReader | ArchiveDetector, digest: str, size: int) -> None:
        """Reads the next layer.

        Args:
          archive: the entries of the layer.
          digest: the digest of the blob.
          size: the size of the blob, in bytes.
        """
        self.layers.append(Layer(digest, {}))
        self._root.apply_layer(self._read_entries(archive), len(self.layers) - 1, size)

    def build_image(
        self, platform: str, config: dict[str, Any], reopen: Callable[[], Iterable[AbstractContextManager[TarReader]]]
    ) -> Image:
        """Returns the image of all layers.

        Args:
          platform: os/architecture[/variant], or "".
          config: the config of the image.
          reopen: opens the layers again, the lowest first. It is called if engines may differ about capabilities.

        Raises:
          TarError: no engine accepts the image.
        """
        differences: list[CapabilityDifference] = []
        if self._root.engines_may_differ and self._has_capabilities:
            self._root, layers = RootFilesystem(), []  # Frees the memory for the root filesystems of the engines.
            for context in reopen():
                with context as archive:
                    layers.append(shorten_entries(_shorten_attributes(archive), DECISIVE_RECORDS))
            self._root, differences = unpack_by_engines(layers)
        assigned: dict[str, FileCapabilities] = {}
        origin: dict[str, int] = {}
        for path, node in self._root.walk():
            value = node.xattrs.get(CAPABILITY)
            decoded = self._decode_attribute(path, value) if value is not None and node.type == FILE else None
            if decoded is not None:
                assigned[path], origin[path] = decoded, node.layer
        described = tuple(
            Difference(difference.path, {engine: _describe_attribute(value) for engine, value in difference.values.items()})
            for difference in differences
        )
        if self._has_capabilities:
            self._problems += self._overlay_problems  # Such an attribute can show a file with capabilities at another path.
        return Image(
            platform=platform,
            config=config,
            capabilities=assigned,
            layers=self.layers,
            origin=origin,
            problems=[*dict.fromkeys(self._problems), *map(str, described)],
            users=self._read_ids(_PASSWD),
            groups=self._read_ids(_GROUP),
            differences=described,
            _root=self._root,
            _texts=self._texts,
            _programs=self._programs,
        )

    def _read_entries(self, archive: TarReader | ArchiveDetector) -> Iterator[Member]:
        """Yields the entries of a layer without the records that are not used; collects capabilities and contents."""
        layer = len(self.layers) - 1
        for number, member in enumerate(archive):
            value = self._get_attribute(member)
            if member.records:
                overlay_records = {name: b"" for name in member.records if name.startswith(OVERLAY)}
                for name in overlay_records:
                    if name != _OPAQUE_RECORD or member.records[name] != b"y":
                        what = f"has {name.removeprefix(XATTR).decode('utf-8', 'replace')}, which overlayfs obeys and Docker and podman keep"
                        self._overlay_problems.append(f"{quote(member.path)}: {what}; remove it from the layer")
                member.records = overlay_records if value is None else {**overlay_records, CAPABILITY_RECORD: value}
            if value is not None:
                if member.type not in (FILE, HARDLINK):
                    self._add_problem(member.path, f"capabilities on a {member.type}, which mean nothing")
                else:
                    self._has_capabilities = True
                    if (decoded := self._decode_attribute(member.path, value)) is not None:
                        self.layers[layer].capabilities[member.path] = decoded
            self._keep_content(archive, member, (layer, number))
            yield member

    def _get_attribute(self, member: Member) -> bytes | None:
        """Returns the attribute security.capability of an entry, as container engines set it; None if there is none."""
        value, twin = member.records.get(CAPABILITY_RECORD), member.records.get(CAPABILITY_TWIN)
        if twin is not None:
            try:
                decoded_twin = binascii.a2b_base64(
                    twin[: 2 * limits.CAPABILITY] + b"=" * (-len(twin[: 2 * limits.CAPABILITY]) % 4)
                )
            except binascii.Error:
                decoded_twin = b""
            if decoded_twin != value:
                what = "says other capabilities than" if value is not None else "has them, without"
                self._add_problem(
                    member.path,
                    f"its record {CAPABILITY_TWIN.decode()} {what} {CAPABILITY_RECORD.decode()}, which alone counts in images",
                )
        return value if value is None else value[: limits.CAPABILITY]

    def _keep_content(self, archive: TarReader | ArchiveDetector, member: Member, entry: tuple[int, int]) -> None:
        """Keeps the content of scripts, /etc/passwd and /etc/group, and the loader and libraries of ELF programs.

        Args:
          archive: the layer, from which the content of `member` is read.
          member: the entry.
          entry: the number of the layer, and of the entry.
        """
        if member.type != FILE or member.sparse or not member.size:
            return
        if member.path in (_PASSWD, _GROUP) and member.size <= limits.TEXT:
            text = b"".join(archive.read_content())[: member.size]
            self._texts[entry] = self._id_files[entry] = text
        else:
            content = archive.read_content()
            start = next(content, b"")[: member.size]
            if start.startswith(b"#!"):
                self._keep_script(member, entry, start, content)
            elif start.startswith(b"\x7fELF") and member.mode & 0o111:
                self._keep_program(member, entry, start, content)

    def _keep_script(self, member: Member, entry: tuple[int, int], start: bytes, content: Iterator[bytes]) -> None:
        """Keeps the text of a script; of a long script the first line, with a NUL after it."""
        if member.size <= min(limits.SCRIPT_TEXT, self._script_bytes_left):
            self._script_bytes_left -= member.size
            self._texts[entry] = b"".join((start, *content))[: member.size]
        else:
            self._texts[entry] = start[: limits.SCRIPT].partition(b"\n")[0] + b"\n\0"

    def _keep_program(self, member: Member, entry: tuple[int, int], start: bytes, content: Iterator[bytes]) -> None:
        """Keeps the loader of an ELF program; if it has capabilities, also its libraries and their directories."""
        try:
            headers = ProgramHeaders(elf.find_interpreter(start))
            if headers.loader and CAPABILITY_RECORD in member.records and member.size <= limits.PROGRAM:
                program = elf.read_program(io.BytesIO(b"".join((start, *content))[: member.size]))
                headers = ProgramHeaders(program.interpreter, program.runpath or program.rpath, program.needed)
        except elf.ElfError:
            return
        if headers.loader:
            self._programs[entry] = headers

    def _decode_attribute(self, path: str, value: bytes) -> FileCapabilities | None:
        """Returns the capabilities of an attribute; None, and a problem, if it is not valid."""
        try:
            return capabilities.from_xattr(value)
        except capabilities.CapabilityError as error:
            self._add_problem(path, f"invalid capabilities: {error}")
            return None

    def _read_ids(self, path: str) -> dict[str, int] | None:
        """Returns the IDs by name in a file like passwd(5) or group(5); None if the image does not have the file."""
        match = follow_path(self._root, path)
        text = self._id_files.get((match[1].layer, match[1].entry)) if match else None
        if text is None:
            return None
        ids: dict[str, int] = {}
        for line in text.decode("utf-8", "replace").splitlines():
            fields = line.split(":")
            if len(fields) > 2 and fields[2].isascii() and fields[2].isdigit() and len(fields[2]) <= 10:
                ids.setdefault(fields[0], int(fields[2]))
        return ids

    def _add_problem(self, path: str, what: str) -> None:
        self._problems.append(f"{quote(path)}: {what}")


def _shorten_attributes(archive: TarReader) -> Iterator[Member]:
    """Yields the entries of a layer, with their attributes cut to a length that no valid attribute exceeds."""
    for member in archive:
        member.records = {name: value[: limits.CAPABILITY] for name, value in member.records.items()}
        yield member


def _describe_attribute(value: bytes | None) -> str | None:
    """Returns the capabilities of an attribute as text, None for no attribute, "refused" for REFUSED."""
    if value is None or value == REFUSED:
        return None if value is None else "refused"
    try:
        decoded = capabilities.from_xattr(value)
    except capabilities.CapabilityError:
        return "an invalid attribute"
    return decoded.to_getcap_text()
