"""Random layers for tests: the request for the packer, and the entries that readers must find.

The expected entries are computed without code of the packer. Capabilities are parsed by the real libcap.
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
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from compression import zstd

from support import packer as packers
from support import require
from support.libcap import Libcap, Sets

CAPABILITY = "security.capability"
ELF = b"\x7fELF"
TARGET = "//:fuzz"
XATTR = "SCHILY.xattr."
"""The prefix of pax records that hold extended attributes."""
KINDS = {"0": "file", "1": "hardlink", "2": "symlink", "5": "directory"}
"""The kinds of entries by the type flag of tar."""


class ReadEntry(NamedTuple):
    """An entry as a reader returns it."""

    path: str  # Without leading and trailing slashes.
    kind: str  # "file", "directory", "symlink" or "hardlink".
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    content: str  # SHA-256, in hex.
    link: str
    xattrs: Mapping[str, bytes]


class Filling(NamedTuple):
    """Content that is described by its size and kind, because it may be long."""

    size: int
    kind: int  # 0: zeros; 1: repeats itself within the 32 KiB that deflate looks back; 2: does not.

    def make_data(self) -> bytes:
        """Returns the content."""
        piece = random.Random(self.kind).randbytes(700 * 10**self.kind) if self.kind else bytes(1 << 16)
        return (ELF + piece * (self.size // len(piece) + 1))[: self.size]


class RequestedEntry(NamedTuple):
    """An entry of the request."""

    kind: str
    content: bytes | Filling | None = None  # Of a file; None if it has no source.
    target: str = ""
    mode: int | None = None  # None for the default.
    uid: int = 0
    gid: int = 0

    def make_data(self) -> bytes:
        """Returns the content."""
        return self.content.make_data() if isinstance(self.content, Filling) else self.content or b""


class Change(NamedTuple):
    """The values of modes, owners and xattrs for one path."""

    mode: int | None = None
    owner: tuple[int, int] | None = None
    xattrs: Mapping[str, tuple[str, bytes]] = {}  # By name: the prefix of the encoding ("" for text), and the value.


class Assignment(NamedTuple):
    """Capabilities that are assigned to a file."""

    words: tuple[str, ...]  # As the attributes take them.
    text: str  # The same for libcap.


class Sample(NamedTuple):
    """The request for a layer, which is valid."""

    requested: dict[str, RequestedEntry]  # By absolute path.
    changes: dict[str, Change]  # By path; hard links have none.
    assignments: dict[str, Assignment]  # By path; a file and its hard links have one at most.
    mtime: int
    parents: str
    hard_link_duplicates: bool
    compression: str
    threads: int

    def write_request(self, directory: pathlib.Path) -> list[str]:
        """Returns the flags and entries of the request, and writes the sources into `directory`."""
        lines = [f"--mtime={self.mtime}", f"--parent-directories={self.parents}", f"--threads={self.threads}"]
        lines += packers.make_compression_flags(self.compression) + ["--hard-link-duplicates=yes"] * self.hard_link_duplicates
        lines += [packers.assign(path, *assignment.words) for path, assignment in self.assignments.items()]
        for path, change in self.changes.items():
            if change.mode is not None:
                lines.append(packers.change("modes", path, mode=f"{change.mode:04o}"))
            if change.owner:
                lines.append(packers.change("owners", path, owner="{}:{}".format(*change.owner)))
            if change.xattrs:
                words = [f"{name}={_encode_value(*value)}" for name, value in change.xattrs.items()]
                lines.append(packers.change("xattrs", path, xattrs=words))
        for number, (path, entry) in enumerate(self.requested.items()):
            fields: dict[str, Any] = {"path": path, "type": entry.kind, "uid": entry.uid, "gid": entry.gid}
            if entry.content is not None:
                fields["source"] = str(directory / f"source{number}")
                pathlib.Path(fields["source"]).write_bytes(entry.make_data())
            if entry.mode is not None:
                fields["mode"] = f"{entry.mode:04o}"
            if entry.target:
                fields["target"] = entry.target
            lines.append(json.dumps(fields))
        return lines

    def pack(self, directory: pathlib.Path) -> tuple[pathlib.Path, dict[str, Any]]:
        """Packs the layer in `directory`; returns the path of the blob, and the metadata."""
        assert run_packer(directory, self.write_request(directory)) == (0, "")
        return directory / "blob", json.loads((directory / "metadata").read_bytes())

    @contextlib.contextmanager
    def pack_temporarily(self) -> Iterator[tuple[pathlib.Path, dict[str, Any]]]:
        """Packs the layer in a directory that is removed at the end of the block; yields what pack() returns."""
        with tempfile.TemporaryDirectory() as directory:
            yield self.pack(pathlib.Path(directory))

    def expected_sets(self) -> dict[str, Sets]:
        """Returns the capabilities by path. All names of a file have the same."""
        sets = {self._find_file(path): _libcap().from_text(assignment.text) for path, assignment in self.assignments.items()}
        return {path: sets[self._find_file(path)] for path in self.requested if self._find_file(path) in sets}

    def expected_entries(self) -> list[ReadEntry]:
        """Returns the entries that a reader must find, in their order."""
        sets = self.expected_sets()
        entries = {path: self._expect_entry(path, sets.get(path)) for path in self.requested}
        if self.parents == "all":
            for path in self.requested:
                while path := path.rpartition("/")[0]:
                    if path not in entries:
                        entries[path] = ReadEntry(path[1:], "directory", 0o755, 0, 0, self.mtime, 0, _sha256(b""), "", {})
        if self.hard_link_duplicates:
            _link_duplicates(entries)
        return sorted(entries.values(), key=_sort_key)

    def _expect_entry(self, path: str, sets: Sets | None) -> ReadEntry:
        """Returns the entry that a reader must find at a path. A hard link has the attributes of its file."""
        entry, file = self.requested[path], self.requested[self._find_file(path)]
        change = self.changes.get(self._find_file(path), Change())
        mode = file.mode if change.mode is None else change.mode
        if mode is None:
            mode = 0o777 if entry.kind == "symlink" else 0o755
        uid, gid = change.owner or (file.uid, file.gid)
        link = entry.target[1:] if entry.kind == "hardlink" else entry.target
        xattrs = {name: value for name, (_, value) in change.xattrs.items()}
        if sets is not None:
            xattrs[CAPABILITY] = _encode_xattr(sets)
        data = entry.make_data()
        return ReadEntry(path[1:], entry.kind, mode, uid, gid, self.mtime, len(data), _sha256(data), link, xattrs)

    def _find_file(self, path: str) -> str:
        """Returns the path of the file that a hard link leads to; for other entries, the path itself."""
        return self.requested[path].target if self.requested[path].kind == "hardlink" else path


def run_packer(directory: pathlib.Path, lines: Sequence[str]) -> tuple[int, str]:
    """Packs a layer into the files `blob` and `metadata` in `directory`; returns exit code and messages."""
    outputs = (f"--output={directory}/blob", f"--metadata={directory}/metadata")
    return packers.run_here(["layer", f"--target={TARGET}", *outputs, "--created-by=fuzz", *lines])


def decompress(blob: pathlib.Path, compression: str) -> bytes:
    """Returns the tar in a blob. Python's module and the program of the compression must agree on it."""
    data = blob.read_bytes()
    if compression == "none":
        return data
    module, program = (zstd, "zstd") if compression == "zstd" else (gzip, "gzip")
    with open(blob, "rb") as stream:
        tar = subprocess.run([require.tool(program), "-dcq"], stdin=stream, stdout=subprocess.PIPE, check=True).stdout
    assert module.decompress(data) == tar
    return tar


def _link_duplicates(entries: dict[str, ReadEntry]) -> None:
    """Replaces files that differ only in their names by hard links to the first by name, except for empty files."""
    first: dict[str, str] = {}
    replaced: dict[str, str] = {}
    for path in sorted(entries, key=str.encode):
        if entries[path].kind == "file" and entries[path].size:
            replaced[path] = first.setdefault(repr(entries[path]._replace(path="")), path)
    for path, entry in entries.items():
        target = f"/{entry.link}" if entry.kind == "hardlink" else path
        target = replaced.get(target, target)
        if target != path:
            entries[path] = entry._replace(kind="hardlink", size=0, content=_sha256(b""), link=target[1:])


def _sort_key(entry: ReadEntry) -> tuple[bool, bytes]:
    """Returns what entries are sorted by: hard links come last, and names of directories end with "/"."""
    return entry.kind == "hardlink", (entry.path + "/" * (entry.kind == "directory")).encode()


def _encode_xattr(sets: Sets) -> bytes:
    """Returns struct vfs_cap_data of linux/capability.h, revision 2."""
    low = 0xFFFFFFFF
    magic = 0x02000000 | (sets.effective != 0)
    numbers = (sets.permitted & low, sets.inheritable & low, sets.permitted >> 32, sets.inheritable >> 32)
    return struct.pack("<5I", magic, *numbers)


def _encode_value(prefix: str, value: bytes) -> str:
    """Encodes the value of an extended attribute as setfattr(1) takes it."""
    if prefix in ("0s", "0S"):
        return prefix + base64.b64encode(value).decode()
    if prefix:
        return prefix + (value.hex() if prefix == "0x" else value.hex().upper())
    return value.decode()


@functools.lru_cache(16)
def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@functools.lru_cache
def _libcap() -> Libcap:
    return Libcap()
