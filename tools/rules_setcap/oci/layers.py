"""Reads the layers of an image, one on top of the other."""

from __future__ import annotations

import binascii
import io
import json
from typing import TYPE_CHECKING, Any

from rules_setcap import capabilities
from rules_setcap.archive.entry import FILE, HARDLINK
from rules_setcap.archive.records import CAPABILITY, CAPABILITY_RECORD, CAPABILITY_TWIN, OVERLAY, XATTR
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote
from rules_setcap.executables import elf
from rules_setcap.oci import differences
from rules_setcap.oci.image import Difference, Image, Layer, follow
from rules_setcap.oci.rootfs import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from rules_setcap.archive.reader import Archive, Member
    from rules_setcap.capabilities import FileCapabilities
    from rules_setcap.oci.shapes import Watched

_PASSWD, _GROUP = "/etc/passwd", "/etc/group"
_OPAQUE = OVERLAY + b"opaque"


class Layers:
    """The layers of an image, applied one on top of the other."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self._tree = Tree()
        self._problems: list[str] = []
        self._overlay: list[str] = []  # Entries with attributes of overlayfs.
        self._has_capabilities = False
        self._texts: dict[tuple[int, int], bytes] = {}  # passwd and group, by layer and entry.
        self._scripts: dict[tuple[int, int], bytes] = {}  # And what is known of programs; see Image.
        self._left = limits.SCRIPT_TEXTS

    def layer(self, archive: Archive | Watched, digest: str, size: int) -> None:
        """Adds the next layer.

        Args:
          archive: its entries.
          digest: of the blob.
          size: of the blob, in bytes.
        """
        self.layers.append(Layer(digest, {}))
        self._tree.apply(self._members(archive), len(self.layers) - 1, size)

    def image(self, platform: str, config: dict[str, Any], reopen: Callable[[], Iterable[AbstractContextManager[Archive]]]) -> Image:
        """Returns the image of all layers.

        Args:
          platform: os/architecture[/variant], or "".
          config: the image's config.
          reopen: opens the layers once more, the lowest first. It is called if engines may differ about capabilities.

        Raises:
          ArchiveError: no engine takes the image.
        """
        found: list[differences.Difference] = []
        if self._tree.unusual and self._has_capabilities:
            self._tree, layers = Tree(), []  # Its memory is for the others.
            for opened in reopen():
                with opened as archive:
                    layers.append(differences.brief(_shortened(archive), differences.DECISIVE))
            self._tree, found = differences.unpack(layers)
        carried: dict[str, FileCapabilities] = {}
        origin: dict[str, int] = {}
        for path, node in self._tree.walk():
            value = node.xattrs.get(CAPABILITY)
            known = self._decode(path, value) if value is not None and node.type == FILE else None
            if known is not None:
                carried[path], origin[path] = known, node.layer
        differing = tuple(Difference(each.path, {name: _text(value) for name, value in each.values.items()}) for each in found)
        if self._has_capabilities:
            self._problems += self._overlay  # Such an attribute can show a file that has capabilities at another path.
        problems = [*dict.fromkeys(self._problems), *map(str, differing)]
        users, groups = self._identifiers(_PASSWD), self._identifiers(_GROUP)
        return Image(platform, config, carried, self.layers, origin, problems, users, differing, self._tree, self._scripts, groups)

    def _members(self, archive: Archive | Watched) -> Iterator[Member]:
        """Yields the entries of a layer, without the records that nobody here asks for."""
        layer = len(self.layers) - 1
        for number, member in enumerate(archive):
            value = self._value(member)
            if member.records:
                kept = {name: b"" for name in member.records if name.startswith(OVERLAY)}
                for name in kept:
                    if name != _OPAQUE or member.records[name] != b"y":
                        what = f"has {name.removeprefix(XATTR).decode('utf-8', 'replace')}, which overlayfs obeys and Docker and podman keep"
                        self._overlay.append(f"{quote(member.path)}: {what}; remove it from the layer")
                member.records = kept if value is None else {**kept, CAPABILITY_RECORD: value}
            if value is not None:
                if member.type not in (FILE, HARDLINK):
                    self._wrong(member.path, f"capabilities on a {member.type}, which mean nothing")
                else:
                    self._has_capabilities = True
                    if (known := self._decode(member.path, value)) is not None:
                        self.layers[layer].capabilities[member.path] = known
            self._content(archive, member, (layer, number))
            yield member

    def _value(self, member: Member) -> bytes | None:
        """The extended attribute of an entry, as container engines see it."""
        value, twin = member.records.get(CAPABILITY_RECORD), member.records.get(CAPABILITY_TWIN)
        if twin is not None:
            try:
                other = binascii.a2b_base64(twin[: 2 * limits.CAPABILITY] + b"=" * (-len(twin[: 2 * limits.CAPABILITY]) % 4))
            except binascii.Error:
                other = b""
            if other != value:
                what = "says other capabilities than" if value is not None else "has them, without"
                self._wrong(member.path, f"its record {CAPABILITY_TWIN.decode()} {what} {CAPABILITY_RECORD.decode()}, which alone counts in images")
        return value if value is None else value[: limits.CAPABILITY]

    def _content(self, archive: Archive | Watched, member: Member, entry: tuple[int, int]) -> None:
        """Keeps the content of scripts, passwd(5) and group(5), and what an ELF program needs."""
        if member.type != FILE or member.sparse or not member.size:
            return
        if member.path in (_PASSWD, _GROUP) and member.size <= limits.TEXT:
            text = b"".join(archive.content())[: member.size]
            self._scripts[entry] = self._texts[entry] = text
        else:
            content = archive.content()
            start = next(content, b"")[: member.size]
            if start.startswith(b"#!"):
                self._script(member, entry, start, content)
            elif start.startswith(b"\x7fELF") and member.mode & 0o111:
                self._program(member, entry, start, content)

    def _script(self, member: Member, entry: tuple[int, int], start: bytes, content: Iterator[bytes]) -> None:
        """Keeps the text of a script; of a long one the first line, with a NUL after it."""
        if member.size <= min(limits.SCRIPT_TEXT, self._left):
            self._left -= member.size
            self._scripts[entry] = b"".join((start, *content))[: member.size]
        else:
            self._scripts[entry] = start[: limits.SCRIPT].partition(b"\n")[0] + b"\n\0"

    def _program(self, member: Member, entry: tuple[int, int], start: bytes, content: Iterator[bytes]) -> None:
        """Keeps the loader of an ELF program; if it has capabilities, also where it looks for libraries."""
        try:
            known: dict[str, Any] = {"interpreter": elf.find_interpreter(start)}
        except elf.ElfError:
            return
        if not known["interpreter"]:
            return
        if CAPABILITY_RECORD in member.records and member.size <= limits.PROGRAM:
            known = elf.describe_program(io.BytesIO(b"".join((start, *content))[: member.size])) or known
        kept = {name: known[name] for name in ("interpreter", "needed", "rpath", "runpath") if name in known}
        if kept.get("interpreter"):
            self._scripts[entry] = b"\x7fELF" + json.dumps(kept).encode()

    def _decode(self, path: str, value: bytes) -> FileCapabilities | None:
        try:
            return capabilities.from_xattr(value)
        except capabilities.CapabilityError as error:
            self._wrong(path, f"invalid capabilities: {error}")
            return None

    def _identifiers(self, path: str) -> dict[str, int] | None:
        """Reads the IDs by name of a file as in passwd(5) or group(5); returns None if the image has no such file."""
        found = follow(self._tree, path)
        text = self._texts.get((found[1].layer, found[1].entry)) if found else None
        if text is None:
            return None
        identifiers: dict[str, int] = {}
        for line in text.decode("utf-8", "replace").splitlines():
            fields = line.split(":")
            if len(fields) > 2 and fields[2].isascii() and fields[2].isdigit() and len(fields[2]) <= 10:
                identifiers.setdefault(fields[0], int(fields[2]))
        return identifiers

    def _wrong(self, path: str, what: str) -> None:
        self._problems.append(f"{quote(path)}: {what}")


def _shortened(archive: Archive) -> Iterator[Member]:
    """Yields the entries of a layer, with the beginnings of their attributes; every valid one is shorter."""
    for member in archive:
        member.records = {name: value[: limits.CAPABILITY] for name, value in member.records.items()}
        yield member


def _text(value: bytes | None) -> str | None:
    """Returns the capabilities that an attribute has as text."""
    if value is None or value == differences.REFUSED:
        return None if value is None else "refused"
    try:
        known = capabilities.from_xattr(value)
    except capabilities.CapabilityError:
        return "an invalid attribute"
    return known.to_text() + (f" [rootid={known.rootid}]" if known.rootid else "")
