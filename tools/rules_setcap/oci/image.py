"""An image that has been read: its config, its files, and their capabilities."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rules_setcap.archive.entry import FILE, SYMLINK
from rules_setcap.archive.reader import TarError
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote
from rules_setcap.oci.root_filesystem import RootFilesystem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_setcap.capabilities import FileCapabilities
    from rules_setcap.oci.nodes import Node


@dataclass(frozen=True, slots=True)
class ProgramHeaders:
    """The parts of the headers of a dynamically linked ELF program that decide which files it loads.

    Attributes:
      loader: PT_INTERP.
      runpath: DT_RUNPATH, or else DT_RPATH; "" if it has neither, or if the program has no capabilities.
      needed: DT_NEEDED; empty if the program has no capabilities.
    """

    loader: str
    runpath: str = ""
    needed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of an image.

    Attributes:
      path: its path, without symbolic links.
      capabilities: its capabilities; None if it has none.
      uid, gid: its owner.
      mode: its permissions and set-ID bits.
      interpreter: for a script, the program that its first line names; else "".
      argument: for a script, the text after the interpreter in its first line, which is one argument; else "".
      text: for a script, its text; None if the file is not a script, or is too long to be kept.
      loader: for a dynamically linked ELF program, its PT_INTERP; else "".
      runpath: for such a program with capabilities, the directories of its libraries: DT_RUNPATH or DT_RPATH.
      needed: for such a program with capabilities, the names of the libraries that it needs.
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


@dataclass(frozen=True, slots=True)
class Layer:
    """The capabilities that one layer assigns, also those that the layers above it hide.

    Attributes:
      digest: the digest of the blob.
      capabilities: the capabilities of files by absolute path.
    """

    digest: str
    capabilities: dict[str, FileCapabilities]


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that has different capabilities in different container engines.

    Attributes:
      path: the path of the file.
      engines: by engine and storage driver, the capabilities of the file as text, None if it has none, or "refused" if the
        engine does not accept the image.
    """

    path: str
    engines: dict[str, str | None]

    def __str__(self) -> str:
        engines_by_text: dict[str | None, list[str]] = {}
        for engine, text in self.engines.items():
            engines_by_text.setdefault(text, []).append(engine)
        parts = []
        for text, engines in engines_by_text.items():
            outcome = "the image is refused by" if text == "refused" else f"{text or 'no capabilities'} in"
            parts.append(f"{outcome} {', '.join(engines)}")
        return f"{quote(self.path)}: container engines differ: {'; '.join(parts)}"


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes:
      platform: os/architecture[/variant]; "" if it is not known.
      config: the config of the image; {} for a tar that is only a layer.
      capabilities: the capabilities of files by absolute path, as a container sees them.
      layers: the layers, the lowest first.
      origin: by the same paths, the index in `layers` of the layer that has the file.
      problems: what is wrong with the capabilities in it, one sentence each; those about `differences` are among them.
      differences: the files about which engines differ.
      users: uids by name, from /etc/passwd; None if the image does not have it.
      groups: gids by name, from /etc/group; None if the image does not have it.
      names: the names of the image in its archive or layout.
    """

    platform: str
    config: dict[str, Any]
    capabilities: dict[str, FileCapabilities]
    layers: list[Layer]
    origin: dict[str, int]
    problems: list[str]
    users: dict[str, int] | None = None
    differences: tuple[Difference, ...] = ()
    _root: RootFilesystem = field(default_factory=RootFilesystem, repr=False)
    # By layer and entry: the text of scripts, /etc/passwd and /etc/group. Of a long script, the first line and a NUL.
    _texts: dict[tuple[int, int], bytes] = field(default_factory=dict, repr=False)
    # By layer and entry: the ELF headers of executable programs that have a loader; see LayerReader.
    _programs: dict[tuple[int, int], ProgramHeaders] = field(default_factory=dict, repr=False)
    groups: dict[str, int] | None = None
    names: tuple[str, ...] = ()

    def find_file(self, path: str) -> File | None:
        """Returns the regular file to which an absolute path leads, with all links followed; None if there is none."""
        match = follow_path(self._root, path)
        if match is None or match[1].type != FILE:
            return None
        resolved, node = match
        entry = node.layer, node.entry
        attributes = resolved, self.capabilities.get(resolved), node.uid, node.gid, node.mode
        if headers := self._programs.get(entry):
            return File(*attributes, "", loader=headers.loader, runpath=headers.runpath, needed=headers.needed)
        content = self._texts.get(entry, b"")
        if not content.startswith(b"#!"):
            return File(*attributes, "")
        # fs/binfmt_script.c of Linux: the interpreter, and at most one argument.
        words = os.fsdecode(content[2:].partition(b"\n")[0]).strip(" \t").replace("\t", " ").partition(" ")
        text = None if content.endswith(b"\0") else content.decode("utf-8", "surrogateescape")
        return File(*attributes, words[0], words[2].strip(" "), text)

    def read_text(self, path: str) -> str | None:
        """Returns the text of /etc/passwd, /etc/group or a script; None if there is no such file, or it is too long to be kept."""
        match = follow_path(self._root, path)
        content = self._texts.get((match[1].layer, match[1].entry)) if match else None
        return None if content is None else content.decode("utf-8", "replace")

    def exists(self, path: str) -> bool:
        """Returns whether an absolute path leads to a file or directory."""
        try:
            return follow_path(self._root, path) is not None
        except TarError:
            return False

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Yields the path and the node of everything below the root, a directory before its content. Hard links share a node."""
        return self._root.walk()

    def is_script(self, node: Node) -> bool:
        """Returns whether a node from walk() is an executable script."""
        return bool(node.mode & 0o111) and self._texts.get((node.layer, node.entry), b"").startswith(b"#!")


def follow_path(root: RootFilesystem, path: str) -> tuple[str, Node] | None:
    """Follows an absolute path and all links; returns the path and the node to which it leads, None if it does not exist."""
    for _ in range(limits.LINKS):
        try:
            match = root.find_node(path)
        except TarError:
            return None
        if match is None or match[1].type != SYMLINK:
            return match
        path = posixpath.join(posixpath.dirname(match[0]), match[1].link)
        if path.endswith(("/", "/.", "/..")):
            return None  # The path of a directory.
    return None
