"""Reads the layers of an image, one on top of the other."""

from __future__ import annotations

import binascii
import io
import json
from typing import TYPE_CHECKING, Any

import capabilities
from capabilities import xattr
from packer import elf, limits
from packer.archive import ArchiveError
from packer.entries import FILE, HARDLINK
from packer.errors import quote
from packer.rootfs import Tree
from packer.setcap import RECORD, TWIN

from .image import Image, Layer, follow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capabilities import FileCapabilities
    from packer.archive import Archive, Member

_XATTR = xattr.NAME.encode()
_SCRIPT = 256  # BINPRM_BUF_SIZE, linux/binfmts.h: as much as the kernel reads of a script's first line.
_PASSWD = "/etc/passwd"
_KEPT = (_PASSWD, "/etc/group", "/manifest.json")


class Layers:
    """The layers of an image, applied one on top of the other."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self._tree = Tree()
        self._problems: list[str] = []
        self._nodes = 0
        self._texts: dict[tuple[int, int], bytes] = {}  # passwd, by layer and entry.
        self._scripts: dict[tuple[int, int], bytes] = {}  # And what is known of programs; see Image.
        self._left = limits.SCRIPTS
        self._manifest = b""
        self._is_layout = False

    def layer(self, archive: Archive, digest: str) -> None:
        """Adds the next one."""
        self.layers.append(Layer(digest, {}))
        links: dict[str, bytes] = {}
        self._tree.apply(self._members(archive, links), len(self.layers) - 1)
        for path, value in links.items():
            found = self._tree.find(path)
            if found and found[1].xattrs.get(_XATTR) != value:
                self._wrong(path, "a hard link with other capabilities than the file that it is; what counts depends on who unpacks it")

    def is_image(self) -> bool:
        """Whether what was read is no layer, but an archive of an image."""
        if self._is_layout:
            return True
        try:
            images = json.loads(self._manifest)
        except (ValueError, RecursionError):
            return False
        return isinstance(images, list) and all(isinstance(each, dict) and "Config" in each and "Layers" in each for each in images)

    def image(self, platform: str, config: dict[str, Any]) -> Image:
        """All of them."""
        carried: dict[str, FileCapabilities] = {}
        origin: dict[str, int] = {}
        for path, node in self._tree.walk():
            value = node.xattrs.get(_XATTR)
            known = self._decode(path, value) if value is not None and node.type == FILE else None
            if known is not None:
                carried[path], origin[path] = known, node.layer
        problems = list(dict.fromkeys(self._problems))
        return Image(platform, config, carried, self.layers, origin, problems, self._users(), self._tree, self._scripts)

    def _members(self, archive: Archive, links: dict[str, bytes]) -> Iterator[Member]:
        """The entries, without what nobody here asks for."""
        layer = len(self.layers) - 1
        last = ""
        for number, member in enumerate(archive):
            folder = member.path.rpartition("/")[0]
            if folder != last:
                # An entry may stand for all the directories on its way, and one through a link for those that the link names.
                self._nodes += member.path.count("/") if len(member.path) <= limits.PATH and self._tree.find(folder) is None else 0
                last = folder
            self._nodes += 1 + member.link.count("/")
            if self._nodes > limits.NODES:
                raise ArchiveError(f"more than {limits.NODES} files and directories")
            if len(member.link) > limits.PATH:
                raise ArchiveError(f"a link of {len(member.link)} letters; no file system takes more than {limits.PATH}")
            value = self._value(member)
            member.records = {} if value is None else {RECORD: value}
            if value is not None:
                if member.type not in (FILE, HARDLINK):
                    self._wrong(member.path, f"capabilities on a {member.type}, which mean nothing")
                elif (known := self._decode(member.path, value)) is not None:
                    self.layers[layer].capabilities[member.path] = known
                if member.type == HARDLINK:
                    links[member.path] = value
            self._content(archive, member, (layer, number))
            yield member

    def _value(self, member: Member) -> bytes | None:
        """The extended attribute of an entry, as container engines see it."""
        value, twin = member.records.get(RECORD), member.records.get(TWIN)
        if twin is not None:
            try:
                other = binascii.a2b_base64(twin[: 2 * limits.CAPABILITY] + b"=" * (-len(twin[: 2 * limits.CAPABILITY]) % 4))
            except binascii.Error:
                other = b""
            if other != value:
                what = "says other capabilities than" if value is not None else "has them, without"
                self._wrong(member.path, f"its record {TWIN.decode()} {what} {RECORD.decode()}, which alone counts in images")
        return value if value is None else value[:limits.CAPABILITY]

    def _content(self, archive: Archive, member: Member, entry: tuple[int, int]) -> None:
        """Keeps the content of scripts, passwd(5) and group(5), what an ELF program needs, and whether this is a layer at all."""
        if member.path == "/oci-layout" and member.type == FILE:
            self._is_layout = True
        elif member.type != FILE or member.sparse or not member.size:
            return
        elif member.path in _KEPT and member.size <= limits.TEXT:
            text = b"".join(archive.content())[: member.size]
            if member.path == "/manifest.json":
                self._manifest = text
                return
            self._scripts[entry] = text
            if member.path == _PASSWD:
                self._texts[entry] = text
        else:
            content = archive.content()
            start = next(content, b"")[: member.size]
            if start.startswith(b"#!"):
                self._script(member, entry, start, content)
            elif start.startswith(b"\x7fELF") and member.mode & 0o111:
                self._program(member, entry, start, content)

    def _script(self, member: Member, entry: tuple[int, int], start: bytes, content: Iterator[bytes]) -> None:
        """Keeps the text of a script; of a long one the first line, with a NUL after it."""
        if member.size <= min(limits.SCRIPT, self._left):
            self._left -= member.size
            self._scripts[entry] = b"".join((start, *content))[: member.size]
        else:
            self._scripts[entry] = start[:_SCRIPT].partition(b"\n")[0] + b"\n\0"

    def _program(self, member: Member, entry: tuple[int, int], start: bytes, content: Iterator[bytes]) -> None:
        """Keeps the loader of an ELF program; if it has capabilities, also where it looks for libraries."""
        known: dict[str, Any] = {}
        if RECORD in member.records and member.size <= limits.PROGRAM:
            known = elf.describe(io.BytesIO(b"".join((start, *content))[: member.size])) or {}
        if "interpreter" not in known:
            try:
                known = {"interpreter": elf.interpreter(start)}
            except elf.ElfError:
                return
        if known["interpreter"]:
            kept = {name: known[name] for name in ("interpreter", "needed", "rpath", "runpath") if name in known}
            self._scripts[entry] = b"\x7fELF" + json.dumps(kept).encode()

    def _decode(self, path: str, value: bytes) -> FileCapabilities | None:
        try:
            return capabilities.decode(value)
        except capabilities.CapabilityError as error:
            self._wrong(path, f"capabilities that no kernel takes: {error}")
            return None

    def _users(self) -> dict[str, int] | None:
        """passwd(5)."""
        found = follow(self._tree, _PASSWD)
        text = self._texts.get((found[1].layer, found[1].entry)) if found else None
        if text is None:
            return None
        users: dict[str, int] = {}
        for line in text.decode("utf-8", "replace").splitlines():
            fields = line.split(":")
            if len(fields) > 2 and fields[2].isascii() and fields[2].isdigit() and len(fields[2]) <= 10:
                users.setdefault(fields[0], int(fields[2]))
        return users

    def _wrong(self, path: str, what: str) -> None:
        self._problems.append(f"{quote(path)}: {what}")
