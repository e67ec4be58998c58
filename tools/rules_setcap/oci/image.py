"""An image that has been read: its config, and the file capabilities in it."""

from __future__ import annotations

import json
import os
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rules_setcap.archive.entry import FILE, SYMLINK
from rules_setcap.archive.reader import ArchiveError
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote
from rules_setcap.oci.rootfs import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_setcap.capabilities import FileCapabilities
    from rules_setcap.oci.nodes import Node


@dataclass(frozen=True)
class File:
    """A file of an image, at the end of all links.

    Attributes:
      path: where it is, without symbolic links.
      capabilities: None if it has none.
      uid, gid: its owner.
      mode: permissions, set-ID bits among them.
      interpreter: of a script, the program that its first line names; else "".
      argument: of a script, what the first line has after the interpreter, which is one word; else "".
      text: of a script, all of it; None if it is no script, or too long to be kept.
      loader: of a dynamically linked ELF program, its PT_INTERP; else "".
      runpath: of such a program with capabilities, where it looks for libraries: DT_RUNPATH or DT_RPATH.
      needed: of such a program with capabilities, the names of the libraries that it needs.
    """

    path: str
    capabilities: FileCapabilities | None
    uid: int
    gid: int
    mode: int
    interpreter: str
    argument: str = ""
    text: str | None = None
    loader: str = ""
    runpath: str = ""
    needed: tuple[str, ...] = ()


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
class Difference:
    """A file that has different capabilities in different container engines.

    Attributes:
      path: where it is.
      engines: by engine and storage driver, what the file has there: capabilities as text, "refused" if the engine does not
        take the image, or None if it has none.
    """

    path: str
    engines: dict[str, str | None]

    def __str__(self) -> str:
        names: dict[str | None, list[str]] = {}
        for name, text in self.engines.items():
            names.setdefault(text, []).append(name)
        parts = []
        for text, who in names.items():
            has = "the image is refused by" if text == "refused" else f"{text or 'no capabilities'} in"
            parts.append(f"{has} {', '.join(who)}")
        return f"{quote(self.path)}: container engines differ: {'; '.join(parts)}"


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes:
      platform: os/architecture[/variant]; "" if nothing says.
      config: the image's config; {} of a tar that is only a layer.
      capabilities: by absolute path, as a container sees them.
      layers: the lowest first.
      origin: the number in `layers` of the one that has the file, by path as above.
      problems: what is wrong with capabilities in it, a sentence each; those about `differences` are among them.
      differences: the files that engines differ about.
      users: uids by name, of /etc/passwd; None if it has none.
      groups: gids by name, of /etc/group; None if it has none.
    """

    platform: str
    config: dict[str, Any]
    capabilities: dict[str, FileCapabilities]
    layers: list[Layer]
    origin: dict[str, int]
    problems: list[str]
    users: dict[str, int] | None = None
    differences: tuple[Difference, ...] = ()
    _tree: Tree = field(default_factory=Tree, repr=False)
    # By layer and entry: the text of scripts, /etc/passwd and /etc/group, and, after b"\x7fELF", what a program needs, as JSON.
    _scripts: dict[tuple[int, int], bytes] = field(default_factory=dict, repr=False)
    groups: dict[str, int] | None = None

    def file(self, path: str) -> File | None:
        """Returns the regular file that an absolute path leads to, through all links; None if it leads to none."""
        found = follow(self._tree, path)
        if found is None or found[1].type != FILE:
            return None
        real, node = found
        kept = self._scripts.get((node.layer, node.entry), b"")
        own = real, self.capabilities.get(real), node.uid, node.gid, node.mode
        if kept.startswith(b"#!"):
            # fs/binfmt_script.c: the interpreter, and at most one argument.
            words = os.fsdecode(kept[2:].partition(b"\n")[0]).strip(" \t").replace("\t", " ").partition(" ")
            text = None if kept.endswith(b"\0") else kept.decode("utf-8", "surrogateescape")
            return File(*own, words[0], words[2].strip(" "), text)
        if kept.startswith(b"\x7fELF"):
            known = json.loads(kept[4:])
            paths = known.get("runpath") or known.get("rpath") or ""
            return File(*own, "", loader=known["interpreter"], runpath=paths, needed=tuple(known.get("needed", ())))
        return File(*own, "")

    def text(self, path: str) -> str | None:
        """Returns the text of /etc/passwd or /etc/group; None if there is none, or it is too long to be kept."""
        found = follow(self._tree, path)
        kept = self._scripts.get((found[1].layer, found[1].entry)) if found else None
        return None if kept is None else kept.decode("utf-8", "replace")

    def exists(self, path: str) -> bool:
        """Returns whether an absolute path leads to anything."""
        try:
            return follow(self._tree, path) is not None
        except ArchiveError:
            return False

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Returns all paths below the root with what is there, a directory before what is in it. Hard links are one node."""
        return self._tree.walk()

    def is_script(self, node: Node) -> bool:
        """Returns whether a node of walk() is an executable script."""
        return bool(node.mode & 0o111) and self._scripts.get((node.layer, node.entry), b"").startswith(b"#!")


def follow(tree: Tree, path: str) -> tuple[str, Node] | None:
    """Returns the path that `path` leads to and what is there, all links followed; None if it leads nowhere."""
    for _ in range(limits.LINKS):
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
