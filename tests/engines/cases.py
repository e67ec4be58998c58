"""Random layers with links, whiteouts, replaced parents, devices and capabilities.

A case is a few small layers. Many cases make one image: case N is below the directory /N of each layer.
"""

from __future__ import annotations

import io
import random
import tarfile
from typing import NamedTuple

RECORD = "SCHILY.xattr.security.capability"
_VALUES = ["0100000200200000" + "00" * 12, "0000000200040000" + "00" * 12, "0100000201000000" + "00" * 12]
_OWNERS = [(0, 0), (0, 0), (0, 0), (1000, 1000)]
_KINDS = "file file file file capable capable capable directory directory symlink symlink link link link capable_link whiteout whiteout opaque device fifo"


class Entry(NamedTuple):
    """An entry of a layer, at a path below the directory of its case."""

    path: str
    type: bytes
    mode: int = 0o755
    owner: tuple[int, int] = (0, 0)
    link: str = ""
    records: dict[str, str] = {}


Case = list[list[Entry]]
"""Layers, the lowest first."""


class _Draw:
    """Draws the entries of a case, most of which an engine takes: what may be there is known by its path, links not followed."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._odd = chance.choice([0.01, 0.05, 0.2])  # How often an entry is one that no tool writes.
        self._known: dict[str, str] = {}  # Kinds by path, of all layers.
        self._own: set[str] = set()  # Paths of this layer.

    def layer(self, first: bool) -> list[Entry]:
        """Draws a layer."""
        self._own = set()
        entries = [Entry("", tarfile.DIRTYPE)] if first or self._chance.random() < 0.5 else []
        for _ in range(self._chance.randint(1, 6)):
            entry = self._entry(self._chance.choice(_KINDS.split()))
            if entry.path not in {each.path for each in entries} or self._chance.random() < self._odd:
                entries.append(entry)
        return entries

    def _paths(self, *kinds: str) -> list[str]:
        return [path for path, kind in self._known.items() if kind in kinds]

    def _path(self) -> str:
        """Draws a path: one that is there, or a new one, mostly in a directory or behind a symbolic link."""
        chance = self._chance
        if self._known and chance.random() < 0.3:
            path = chance.choice([*self._known])
            if self._known[path] != "directory" or chance.random() < 0.5:
                return path
        folders = ["", "", *self._paths("directory")]
        if chance.random() < self._odd:
            folders = [*self._known] or folders
        elif chance.random() < 2 * self._odd:
            folders = self._paths("symlink") or folders
        names = [chance.choice("abcl") for _ in range(chance.choice([1, 1, 1, 2]))]
        return "/".join([chance.choice(folders), *names]).strip("/")

    def _entry(self, kind: str) -> Entry:
        chance, path = self._chance, self._path()
        while path in self._own and chance.random() > self._odd:
            path = self._path()
        mode, owner = chance.choice([0o755, 0o755, 0o700, 0o4755]), chance.choice(_OWNERS)
        records = {RECORD: bytes.fromhex(chance.choice(_VALUES)).decode("latin-1")}
        if kind == "whiteout":
            known = [each for each in self._known if each not in self._own or chance.random() < self._odd]
            path = chance.choice(known) if known and chance.random() < 0.8 else path
            folder, _, name = path.rpartition("/")
            self._forget(path)
            return Entry(f"{folder}/.wh.{name}".lstrip("/"), tarfile.REGTYPE, 0o644)
        if kind == "opaque":
            folders = self._paths("directory")
            folder = (
                chance.choice(folders)
                if folders and chance.random() < 0.8
                else chance.choice([path, "", path.rpartition("/")[0]])
            )
            if folder and chance.random() < self._odd / 2:
                return Entry(folder, tarfile.DIRTYPE, mode, owner, records={"SCHILY.xattr.trusted.overlay.opaque": "y"})
            return Entry(f"{folder}/.wh..wh..opq".lstrip("/"), tarfile.REGTYPE, 0o644)
        if kind == "device" and chance.random() > self._odd:
            kind = "fifo"
        target = self._target(path)
        if kind in ("link", "capable_link") and not target:
            kind = "file"
        self._put(path, {"capable": "file", "link": "file", "capable_link": "file"}.get(kind, kind))
        if kind == "symlink":
            there = chance.choice(self._paths("directory") or [*self._known])
            up = "../" * path.count("/")
            return Entry(
                path,
                tarfile.SYMTYPE,
                0o777,
                owner,
                chance.choice(["/" + there, up + there, up + there, there, "../" + there, "."]),
            )
        if kind in ("link", "capable_link"):
            return Entry(path, tarfile.LNKTYPE, mode, owner, target, records if kind == "capable_link" else {})
        types = {"directory": tarfile.DIRTYPE, "device": tarfile.CHRTYPE, "fifo": tarfile.FIFOTYPE}
        return Entry(path, types.get(kind, tarfile.REGTYPE), mode, owner, records=records if kind == "capable" else {})

    def _target(self, path: str) -> str:
        """Draws what a hard link leads to; "" if nothing can be."""
        chance = self._chance
        files = self._paths("file", "symlink") if chance.random() < self._odd else self._paths("file")
        files = [each for each in files if not each.startswith(path)]
        if chance.random() > 2 * self._odd:
            files = [each for each in files if each in self._own]
        target = chance.choice(files) if files else ""
        links = self._paths("symlink")
        if target and links and chance.random() < self._odd / 2:
            return f"{chance.choice(links)}/{target.rpartition('/')[2]}"
        return target

    def _put(self, path: str, kind: str) -> None:
        if not self._known.get(path) == kind == "directory":
            self._forget(path)
        self._known[path] = kind
        self._own.add(path)
        while "/" in path:
            path = path.rpartition("/")[0]
            if self._known.get(path) != "symlink":
                self._known[path] = "directory"
            self._own.add(path)

    def _forget(self, path: str) -> None:
        for each in [each for each in self._known if each == path or each.startswith(path + "/")]:
            del self._known[each]


def draw(chance: random.Random) -> Case:
    """Draws a case."""
    drawn = _Draw(chance)
    return [drawn.layer(not number) for number in range(chance.choice([1, 2, 2, 3, 3, 4]))]


def layers(cases: dict[int, Case]) -> list[bytes]:
    """Returns the layers of an image that has each case below the directory of its number, as tars."""
    count = max((len(case) for case in cases.values()), default=1)
    return [_tar([(number, case[at]) for number, case in cases.items() if at < len(case)]) for at in range(count)]


def _tar(parts: list[tuple[int, list[Entry]]]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number, entries in parts:
            for entry in entries:
                info = tarfile.TarInfo(f"{number}/{entry.path}" if entry.path else str(number))
                info.type, info.mode = entry.type, entry.mode
                info.uid, info.gid = entry.owner
                info.pax_headers = dict(entry.records)
                if entry.type == tarfile.LNKTYPE:
                    info.linkname = f"{number}/{entry.link}"
                elif entry.type == tarfile.SYMTYPE:
                    info.linkname = f"/{number}{entry.link}" if entry.link.startswith("/") else entry.link
                content = f"{number}/{entry.path}".encode() if entry.type == tarfile.REGTYPE else b""
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return made.getvalue()
