"""Draws random layers with links, whiteouts, replaced parents, devices and capabilities.

A case is a few small layers. One image has many cases: case N is below the directory /N of each layer.
"""

from __future__ import annotations

import io
import random
import tarfile
from typing import NamedTuple

from rules_setcap.archive.records import CAPABILITY_RECORD

RECORD = CAPABILITY_RECORD.decode()
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
    records: dict[str, str] = {}  # noqa: RUF012 (a named tuple, whose default nobody changes)


Case = list[list[Entry]]
"""Layers, the lowest first."""


class _CaseDrawing:
    """Draws the entries of a case so that engines accept most of them.

    It knows which paths probably exist, and does not follow links for that.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._odd = chance.choice([0.01, 0.05, 0.2])  # The probability of an entry that no tool writes.
        self._known: dict[str, str] = {}  # By path in all layers, the kind of the entry.
        self._own: set[str] = set()  # The paths of the current layer.

    def draw_layer(self, first: bool) -> list[Entry]:
        """Draws the next layer.

        Args:
          first: whether it is the lowest layer, which has an entry for the directory of the case.
        """
        self._own = set()
        entries = [Entry("", tarfile.DIRTYPE)] if first or self._chance.random() < 0.5 else []
        for _ in range(self._chance.randint(1, 6)):
            entry = self._draw_entry(self._chance.choice(_KINDS.split()))
            if entry.path not in {other.path for other in entries} or self._chance.random() < self._odd:
                entries.append(entry)
        return entries

    def _find_paths(self, *kinds: str) -> list[str]:
        """Returns the paths of entries of some kinds."""
        return [path for path, kind in self._known.items() if kind in kinds]

    def _draw_path(self) -> str:
        """Draws a path: one that exists, or a new one, mostly in a directory or below a symbolic link."""
        chance = self._chance
        if self._known and chance.random() < 0.3:
            path = chance.choice([*self._known])
            if self._known[path] != "directory" or chance.random() < 0.5:
                return path
        folders = ["", "", *self._find_paths("directory")]
        if chance.random() < self._odd:
            folders = [*self._known] or folders
        elif chance.random() < 2 * self._odd:
            folders = self._find_paths("symlink") or folders
        names = [chance.choice("abcl") for _ in range(chance.choice([1, 1, 1, 2]))]
        return "/".join([chance.choice(folders), *names]).strip("/")

    def _draw_entry(self, kind: str) -> Entry:
        """Draws an entry of a kind, one of _KINDS."""
        chance, path = self._chance, self._draw_path()
        while path in self._own and chance.random() > self._odd:
            path = self._draw_path()
        mode, owner = chance.choice([0o755, 0o755, 0o700, 0o4755]), chance.choice(_OWNERS)
        records = {RECORD: bytes.fromhex(chance.choice(_VALUES)).decode("latin-1")}
        if kind == "whiteout":
            candidates = [other for other in self._known if other not in self._own or chance.random() < self._odd]
            path = chance.choice(candidates) if candidates and chance.random() < 0.8 else path
            folder, _, name = path.rpartition("/")
            self._forget(path)
            return Entry(f"{folder}/.wh.{name}".lstrip("/"), tarfile.REGTYPE, 0o644)
        if kind == "opaque":
            folders = self._find_paths("directory")
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
        target = self._draw_target(path)
        if kind in ("link", "capable_link") and not target:
            kind = "file"
        self._record(path, {"capable": "file", "link": "file", "capable_link": "file"}.get(kind, kind))
        if kind == "symlink":
            directory = chance.choice(self._find_paths("directory") or [*self._known])
            up = "../" * path.count("/")
            return Entry(
                path,
                tarfile.SYMTYPE,
                0o777,
                owner,
                chance.choice(["/" + directory, up + directory, up + directory, directory, "../" + directory, "."]),
            )
        if kind in ("link", "capable_link"):
            return Entry(path, tarfile.LNKTYPE, mode, owner, target, records if kind == "capable_link" else {})
        types = {"directory": tarfile.DIRTYPE, "device": tarfile.CHRTYPE, "fifo": tarfile.FIFOTYPE}
        return Entry(path, types.get(kind, tarfile.REGTYPE), mode, owner, records=records if kind == "capable" else {})

    def _draw_target(self, path: str) -> str:
        """Draws the target of a hard link; returns "" if there is no file."""
        chance = self._chance
        files = self._find_paths("file", "symlink") if chance.random() < self._odd else self._find_paths("file")
        files = [file for file in files if not file.startswith(path)]
        if chance.random() > 2 * self._odd:
            files = [file for file in files if file in self._own]
        target = chance.choice(files) if files else ""
        links = self._find_paths("symlink")
        if target and links and chance.random() < self._odd / 2:
            return f"{chance.choice(links)}/{target.rpartition('/')[2]}"
        return target

    def _record(self, path: str, kind: str) -> None:
        """Records that the layer has an entry of this kind at a path."""
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
        """Records that a path, and what is below it, does not exist any more."""
        for removed in [known for known in self._known if known == path or known.startswith(path + "/")]:
            del self._known[removed]


def draw_case(chance: random.Random) -> Case:
    """Draws the layers of a case."""
    drawing = _CaseDrawing(chance)
    return [drawing.draw_layer(not number) for number in range(chance.choice([1, 2, 2, 3, 3, 4]))]


def make_layers(cases: dict[int, Case]) -> list[bytes]:
    """Returns the layers of an image that has each case below the directory of its number, as tars."""
    count = max((len(case) for case in cases.values()), default=1)
    return [
        _make_tar([(number, case[position]) for number, case in cases.items() if position < len(case)])
        for position in range(count)
    ]


def _make_tar(parts: list[tuple[int, list[Entry]]]) -> bytes:
    """Returns a layer with the entries of cases, each below the directory of its number."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
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
    return output.getvalue()
