"""Images, and the file capabilities in them.

An OCI image layout directory, an archive of one, what `docker save` writes, or any other tar,
which is then taken for the only layer of an image. Nothing is unpacked as a file system.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import os
import posixpath
import stat
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import capabilities
from capabilities import xattr
from packer import base, below
from packer.archive import Archive, ArchiveError
from packer.decompress import Decompressed, DecompressionError
from packer.entries import FILE, HARDLINK, SYMLINK
from packer.errors import InputError, problem, quote
from packer.rootfs import Tree
from packer.setcap import RECORD, TWIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capabilities import FileCapabilities
    from packer.archive import Member
    from packer.rootfs import Node

_XATTR = xattr.NAME.encode()
_MAX_NODES = 1_500_000  # Files and directories of an image; each takes some 400 bytes of memory.
_MAX_LINKS = 40  # ELOOP, path_resolution(7).
_MAX_PATH = 4096  # PATH_MAX, linux/limits.h.
_MAX_VALUE = 64  # More than any revision of the attribute has.
_MAX_TEXT = 4 << 20
_SCRIPT = 256  # BINPRM_BUF_SIZE, linux/binfmts.h: as much as the kernel reads of a script's first line.
_PASSWD = "/etc/passwd"


@dataclass(frozen=True)
class File:
    """A file of an image, at the end of all links.

    Attributes:
      path: where it is, without symbolic links.
      capabilities: None if it has none.
      uid, gid: its owner.
      mode: permissions, set-ID bits among them.
      interpreter: of a script, the program that its first line names; else "".
    """

    path: str
    capabilities: FileCapabilities | None
    uid: int
    gid: int
    mode: int
    interpreter: str


@dataclass(frozen=True)
class Layer:
    """What one layer says, whatever those above it hide.

    Attributes:
      digest: of the blob.
      capabilities: by absolute path.
    """

    digest: str
    capabilities: dict[str, FileCapabilities]


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes:
      platform: os/architecture[/variant]; "" if nothing says.
      config: the image's config; {} of a tar that is only a layer.
      capabilities: by absolute path, as a container sees them.
      layers: the lowest first.
      origin: the number in `layers` of the one that has the file, by path as above.
      problems: what is wrong with capabilities in it, a sentence each.
      users: uids by name, of /etc/passwd; None if it has none.
    """

    platform: str
    config: dict[str, Any]
    capabilities: dict[str, FileCapabilities]
    layers: list[Layer]
    origin: dict[str, int]
    problems: list[str]
    users: dict[str, int] | None = None
    _tree: Tree = field(default_factory=Tree, repr=False)
    _scripts: dict[tuple[int, int], bytes] = field(default_factory=dict, repr=False)

    def file(self, path: str) -> File | None:
        """The regular file that an absolute path leads to, through all links; None if to none."""
        found = _follow(self._tree, path)
        if found is None or found[1].type != FILE:
            return None
        real, node = found
        words = self._scripts.get((node.layer, node.entry), b"").split()
        interpreter = os.fsdecode(words[0]) if words else ""
        return File(real, self.capabilities.get(real), node.uid, node.gid, node.mode, interpreter)


def read(path: str, platform: str = "") -> list[Image]:
    """The images at a path.

    Args:
      path: of a directory or a file; see above.
      platform: os/architecture[/variant]; "" for all.

    Raises:
      InputError: there is none, or it is damaged.
      OSError: it cannot be read.
    """
    wanted = _platform(platform)
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        return _layout(path, path, wanted)
    if not stat.S_ISREG(mode):
        raise InputError([problem("image", path, "neither a directory nor a regular file")])
    made = _Reader()
    try:
        with open(path, "rb") as file:
            stream = _Hashed(file)
            archive = Archive(Decompressed(stream))
            made.layer(archive, "")
            for _ in archive.rest():
                pass
            if not archive.ended:
                raise ArchiveError("ends without an end-of-archive marker: a part is missing, or it is no tar")
            made.layers[0] = Layer(stream.digest(), made.layers[0].capabilities)
    except (ArchiveError, DecompressionError) as error:
        raise InputError([problem("image", path, str(error))]) from None
    if made.is_image():
        return _unpacked(path, wanted)
    if wanted:
        raise InputError([problem("platform", platform, f"{quote(path)} is a tar of files, which has no platform")])
    return [made.image("", {})]


def _platform(text: str) -> dict[str, str] | None:
    if not text:
        return None
    words = text.split("/")
    if not 2 <= len(words) <= 3 or not all(words):
        raise InputError([problem("platform", text, 'no platform; write it as "linux/amd64" or "linux/arm/v7"')])
    return dict(zip(("os", "architecture", "variant"), [*words, ""]))


def _name(config: dict[str, Any]) -> str:
    return "/".join(word for word in (config.get(key) for key in ("os", "architecture", "variant")) if word)


def _unpacked(path: str, wanted: dict[str, str] | None) -> list[Image]:
    """The images of an archive."""
    from packer import unpack

    with tempfile.TemporaryDirectory(prefix="getcap-") as directory:
        layout = os.path.join(directory, "layout")
        unpack.write(layout, path, attribute="image")
        return _layout(layout, path, wanted)


def _layout(layout: str, path: str, wanted: dict[str, str] | None) -> list[Image]:
    """The images of a layout directory; `path` is what the user calls it."""
    try:
        found = base.load_all(layout, wanted)
        if not found:
            there = sorted({quote(_name(each.config)) for each in base.load_all(layout)})
            if not wanted or not there:
                raise InputError([problem("image", path, "no image in it")])
            raise InputError([problem("platform", _name(wanted), f"{quote(path)} has no image for it; it has {', '.join(there)}")])
        return [_image(layout, each) for each in found]
    except InputError as error:
        raise InputError(text.replace(quote(layout), quote(path)).replace("base: ", "image: ", 1) for text in error.problems) from None


def _image(layout: str, found: base.Base) -> Image:
    made = _Reader()
    for descriptor in found.manifest["layers"]:
        path = base.blob_path(layout, descriptor["digest"])
        if os.path.exists(path) and not (os.path.isfile(path) and os.path.getsize(path) == descriptor["size"]):
            raise InputError([problem("base", layout, f"{descriptor['digest']} is no file of {descriptor['size']} bytes")])
        with below.entries(below.Blob(path, descriptor, layout)) as archive:
            made.layer(archive, descriptor["digest"])
    return made.image(_name(found.config), found.config)


class _Reader:
    """Layers, one on top of the other."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self._tree = Tree()
        self._problems: list[str] = []
        self._nodes = 0
        self._texts: dict[tuple[int, int], bytes] = {}  # passwd, by layer and entry.
        self._scripts: dict[tuple[int, int], bytes] = {}
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
                self._nodes += member.path.count("/") if len(member.path) <= _MAX_PATH and self._tree.find(folder) is None else 0
                last = folder
            self._nodes += 1 + member.link.count("/")
            if self._nodes > _MAX_NODES:
                raise ArchiveError(f"more than {_MAX_NODES} files and directories")
            if len(member.link) > _MAX_PATH:
                raise ArchiveError(f"a link of {len(member.link)} letters; no file system takes more than {_MAX_PATH}")
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
                other = binascii.a2b_base64(twin[: 2 * _MAX_VALUE] + b"=" * (-len(twin[: 2 * _MAX_VALUE]) % 4))
            except binascii.Error:
                other = b""
            if other != value:
                what = "says other capabilities than" if value is not None else "has them, without"
                self._wrong(member.path, f"its record {TWIN.decode()} {what} {RECORD.decode()}, which alone counts in images")
        return value if value is None else value[:_MAX_VALUE]

    def _content(self, archive: Archive, member: Member, entry: tuple[int, int]) -> None:
        """Keeps what says who users are, what a script runs in, and whether this is a layer at all."""
        if member.path == "/oci-layout" and member.type == FILE:
            self._is_layout = True
        elif member.type != FILE or member.sparse or member.size > _MAX_TEXT and not member.mode & 0o111:
            return
        elif member.path in (_PASSWD, "/manifest.json") and member.size <= _MAX_TEXT:
            text = b"".join(archive.content())[: member.size]
            if member.path == _PASSWD:
                self._texts[entry] = text
            else:
                self._manifest = text
        elif member.mode & 0o111:
            start = next(archive.content(), b"")[: min(_SCRIPT, member.size)]
            if start.startswith(b"#!"):
                self._scripts[entry] = start[2:].partition(b"\n")[0]

    def _decode(self, path: str, value: bytes) -> FileCapabilities | None:
        try:
            return capabilities.decode(value)
        except capabilities.CapabilityError as error:
            self._wrong(path, f"capabilities that no kernel takes: {error}")
            return None

    def _users(self) -> dict[str, int] | None:
        """passwd(5)."""
        found = _follow(self._tree, _PASSWD)
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


def _follow(tree: Tree, path: str) -> tuple[str, Node] | None:
    """Where a path leads, its last part followed as well; None if nowhere."""
    for _ in range(_MAX_LINKS):
        try:
            found = tree.find(path)
        except ArchiveError:
            return None
        if found is None or found[1].type != SYMLINK:
            return found
        path = posixpath.join(posixpath.dirname(found[0]), found[1].link)
        if path.endswith(("/", "/.", "/..")):
            return None  # A directory.
    return None


class _Hashed:
    """A file, and the digest of what was read of it."""

    def __init__(self, file: Any) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        """Of all of it, once the rest is read."""
        while self.read(1 << 20):
            pass
        return "sha256:" + self._hash.hexdigest()
