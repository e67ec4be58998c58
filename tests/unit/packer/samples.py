"""Layers as they are asked for, and what readers are to find in them.

What is to be found is worked out here, by nothing of the packer's: capabilities by the
real libcap.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import gzip
import hashlib
import json
import pathlib
import random
import struct
import subprocess
import tempfile
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

from compression import zstd

from support import packer as packers
from support import require
from support.libcap import Libcap, Sets

CAPABILITY = "security.capability"
ELF = b"\x7fELF"
TARGET = "//:fuzz"
XATTR = "SCHILY.xattr."
"""Of an extended attribute, before its name, as a pax record's key."""
KINDS = {"0": "file", "1": "hardlink", "2": "symlink", "5": "directory"}
"""By the type flag of tar."""


class Found(NamedTuple):
    """An entry as a reader finds it."""

    path: str  # Without slashes around it.
    kind: str  # "file", "directory", "symlink" or "hardlink".
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    content: str  # SHA-256, in hex.
    link: str
    xattrs: Mapping[str, bytes]


class Filled(NamedTuple):
    """Content told in few words, as it may be long."""

    size: int
    kind: int  # 0: zeros; 1: what repeats itself within the 32 KiB that deflate looks back; 2: noise, to deflate.

    def data(self) -> bytes:
        piece = random.Random(self.kind).randbytes(700 * 10**self.kind) if self.kind else bytes(1 << 16)
        return (ELF + piece * (self.size // len(piece) + 1))[: self.size]


class Wish(NamedTuple):
    """An entry as it is asked for."""

    kind: str
    content: bytes | Filled | None = None  # Of a file; None for one without a source.
    target: str = ""
    mode: int | None = None  # None for the default.
    uid: int = 0
    gid: int = 0

    def data(self) -> bytes:
        return self.content.data() if isinstance(self.content, Filled) else self.content or b""


class Change(NamedTuple):
    """What is asked for of one path, beside its entry."""

    mode: int | None = None
    owner: tuple[int, int] | None = None
    xattrs: Mapping[str, tuple[str, bytes]] = {}  # By name: how the value is spelled ("" for text), and the value.


class Grant(NamedTuple):
    """Capabilities, in our words and in libcap's."""

    words: tuple[str, ...]
    text: str


class Sample(NamedTuple):
    """A layer as it is asked for; all that it asks for can be had."""

    wishes: dict[str, Wish]  # By path, absolute.
    changes: dict[str, Change]  # By path, of no hard link.
    grants: dict[str, Grant]  # By path; of a file and its links, one at most.
    mtime: int
    parents: str
    hard_link_duplicates: bool  # Whether equal files become links.
    compression: str
    threads: int

    def lines(self, directory: pathlib.Path) -> list[str]:
        """The packer's flags and entries; writes the sources into `directory`."""
        lines = [f"--mtime={self.mtime}", f"--parent-directories={self.parents}", f"--threads={self.threads}"]
        lines += packers.compressed(self.compression) + ["--hard-link-duplicates=yes"] * self.hard_link_duplicates
        lines += [packers.assign(path, *grant.words) for path, grant in self.grants.items()]
        for path, change in self.changes.items():
            if change.mode is not None:
                lines.append(packers.change("modes", path, mode=f"{change.mode:04o}"))
            if change.owner:
                lines.append(packers.change("owners", path, owner="{}:{}".format(*change.owner)))
            if change.xattrs:
                words = [f"{name}={_spelled(*value)}" for name, value in change.xattrs.items()]
                lines.append(packers.change("xattrs", path, xattrs=words))
        for number, (path, wish) in enumerate(self.wishes.items()):
            entry: dict[str, Any] = {"path": path, "type": wish.kind, "uid": wish.uid, "gid": wish.gid}
            if wish.content is not None:
                entry["source"] = str(directory / f"source{number}")
                pathlib.Path(entry["source"]).write_bytes(wish.data())
            if wish.mode is not None:
                entry["mode"] = f"{wish.mode:04o}"
            if wish.target:
                entry["target"] = wish.target
            lines.append(json.dumps(entry))
        return lines

    def pack(self, directory: pathlib.Path) -> tuple[pathlib.Path, dict[str, Any]]:
        """Packs it in `directory`; returns the blob and its metadata."""
        assert run(directory, self.lines(directory)) == (0, "")
        return directory / "blob", json.loads((directory / "metadata").read_bytes())

    @contextlib.contextmanager
    def packed(self) -> Iterator[tuple[pathlib.Path, dict[str, Any]]]:
        """As pack(), in a directory that goes when the block ends."""
        with tempfile.TemporaryDirectory() as directory:
            yield self.pack(pathlib.Path(directory))

    def sets(self) -> dict[str, Sets]:
        """Capabilities by path, of all names of a file."""
        found = {self._file(path): _libcap().from_text(grant.text) for path, grant in self.grants.items()}
        return {path: found[self._file(path)] for path in self.wishes if self._file(path) in found}

    def found(self) -> list[Found]:
        """The entries that a reader is to find, in their order."""
        sets = self.sets()
        entries = {path: self._entry(path, sets.get(path)) for path in self.wishes}
        if self.parents == "all":
            for path in self.wishes:
                while path := path.rpartition("/")[0]:
                    if path not in entries:
                        entries[path] = Found(path[1:], "directory", 0o755, 0, 0, self.mtime, 0, _sha256(b""), "", {})
        if self.hard_link_duplicates:
            _link(entries)
        return sorted(entries.values(), key=_order)

    def _entry(self, path: str, sets: Sets | None) -> Found:
        """What becomes of a wish; a hard link has what its file has."""
        wish, file = self.wishes[path], self.wishes[self._file(path)]
        change = self.changes.get(self._file(path), Change())
        mode = file.mode if change.mode is None else change.mode
        if mode is None:
            mode = 0o777 if wish.kind == "symlink" else 0o755
        uid, gid = change.owner or (file.uid, file.gid)
        link = wish.target[1:] if wish.kind == "hardlink" else wish.target
        xattrs = {name: value for name, (_, value) in change.xattrs.items()}
        if sets is not None:
            xattrs[CAPABILITY] = _attribute(sets)
        data = wish.data()
        return Found(path[1:], wish.kind, mode, uid, gid, self.mtime, len(data), _sha256(data), link, xattrs)

    def _file(self, path: str) -> str:
        """The path of the file that a hard link leads to; of all else the path itself."""
        return self.wishes[path].target if self.wishes[path].kind == "hardlink" else path


def run(directory: pathlib.Path, lines: Sequence[str]) -> tuple[int, str]:
    """Runs the packer; its outputs are `blob` and `metadata` in `directory`."""
    outputs = (f"--output={directory}/blob", f"--metadata={directory}/metadata")
    return packers.run_here(["layer", f"--target={TARGET}", *outputs, "--created-by=fuzz", *lines])


def unpacked(blob: pathlib.Path, compression: str) -> bytes:
    """The tar in a blob, by Python's module and the program, which must agree."""
    data = blob.read_bytes()
    if compression == "none":
        return data
    module, program = (zstd, "zstd") if compression == "zstd" else (gzip, "gzip")
    with open(blob, "rb") as stream:
        tar = subprocess.run([require.tool(program), "-dcq"], stdin=stream, stdout=subprocess.PIPE, check=True).stdout
    assert module.decompress(data) == tar
    return tar


def _link(entries: dict[str, Found]) -> None:
    """Makes links of files that are equal in all but their names, to the first by name; empty ones stay files."""
    first: dict[str, str] = {}
    moved: dict[str, str] = {}
    for path in sorted(entries, key=str.encode):
        if entries[path].kind == "file" and entries[path].size:
            moved[path] = first.setdefault(repr(entries[path]._replace(path="")), path)
    for path, entry in entries.items():
        target = f"/{entry.link}" if entry.kind == "hardlink" else path
        target = moved.get(target, target)
        if target != path:
            entries[path] = entry._replace(kind="hardlink", size=0, content=_sha256(b""), link=target[1:])


def _order(entry: Found) -> tuple[bool, bytes]:
    """By the bytes of the names, of which those of directories end in "/"; links after all that they may link to."""
    return entry.kind == "hardlink", (entry.path + "/" * (entry.kind == "directory")).encode()


def _attribute(sets: Sets) -> bytes:
    """struct vfs_cap_data of linux/capability.h, revision 2."""
    low = 0xFFFFFFFF
    magic = 0x02000000 | (sets.effective != 0)
    numbers = (sets.permitted & low, sets.inheritable & low, sets.permitted >> 32, sets.inheritable >> 32)
    return struct.pack("<5I", magic, *numbers)


def _spelled(spelling: str, value: bytes) -> str:
    """A value as setfattr(1) takes it."""
    if spelling in ("0s", "0S"):
        return spelling + base64.b64encode(value).decode()
    if spelling:
        return spelling + (value.hex() if spelling == "0x" else value.hex().upper())
    return value.decode()


@functools.lru_cache(16)
def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@functools.lru_cache
def _libcap() -> Libcap:
    return Libcap()
