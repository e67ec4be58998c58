"""Writes and reads the files that a search in the layers of a base has found, with the directories and links on the way to them.

An action that searches writes a directory, and the action that copies the files reads it. found.json in the directory is a JSON
object. The contents of the files are beside it.

    nodes     everything on the way to a path, each after the directory that has it: path, type, link, mode, uid, gid, size,
              sparse, xattrs (name -> hex), and for a file content, the name of the file beside found.json
    files     if a path has not been found, the paths of all files that have been read, for the message
    problems  why the base cannot be read
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
from collections import namedtuple
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, FILE, SYMLINK
from rules_setcap.archive.reader import TarError
from rules_setcap.archive.records import XATTR
from rules_setcap.diagnostics import files, limits
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import symlinks
from rules_setcap.oci.extraction import ExtractedFile
from rules_setcap.oci.nodes import DirectoryNode, Node
from rules_setcap.oci.root_filesystem import RootFilesystem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

_DESCRIPTION = "found.json"

FoundFiles = namedtuple("FoundFiles", ("root", "extracted", "files"))
"""What a search has found. root: RootFilesystem, with what is on the way to the files; extracted: dict of ExtractedFile by the numbers
of the layer and of the entry, as the nodes have them; files: list of str, as in found.json."""


def follow_links(root: RootFilesystem, path: str) -> Iterator[str]:
    """Yields a path, and if a symbolic link is there, the path that it names, and so on; these paths may have links in them.

    Args:
      root: the merged root filesystem.
      path: an absolute path.
    """
    for _ in range(limits.LINKS + 1):
        yield path
        try:
            match = root.find_node(path)
        except TarError:
            return
        if not match or match[1].type != SYMLINK:
            return
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), match[1].link))


def list_nodes(root: RootFilesystem, paths: Iterable[str]) -> dict[str, Node]:
    """Returns the nodes on the way to paths, by path without symbolic links, each after the directory that has it.

    Args:
      root: the merged root filesystem.
      paths: absolute paths. If one does not exist, the part that exists is returned.
    """
    nodes: dict[str, Node] = {}

    def read_link(path: str) -> str | None:
        """Records the node at a path; returns its target if it is a symbolic link."""
        match = root.find_node(path)
        if not match:
            return None
        nodes[path] = match[1]
        return match[1].link if match[1].type == SYMLINK else None

    for path in paths:
        for step in follow_links(root, path):
            folder, _, name = step.rpartition("/")
            with contextlib.suppress(TarError):  # Whoever follows the recorded links gets the same error.
                read_link(f"{symlinks.resolve_links(folder, read_link)}/{name}")
    return dict(sorted(nodes.items(), key=lambda item: item[0].split("/")))


def write_found(
    directory: str,
    nodes: Mapping[str, Node],
    extracted: Mapping[tuple[int, int], ExtractedFile],
    file_paths: Iterable[str],
    problems: Iterable[str] = (),
) -> None:
    """Writes what a search has found.

    Args:
      directory: the directory that has the copies of the files.
      nodes: from list_nodes().
      extracted: the copies, by the numbers of the layer and of the entry.
      file_paths: `files` in found.json.
      problems: `problems` in found.json.

    Raises:
      OSError: the file cannot be written.
    """
    described = [_describe_node(path, node, extracted.get((node.layer, node.entry))) for path, node in nodes.items()]
    # A name that is not UTF-8 is escaped, so the file is ASCII.
    data = json.dumps({"nodes": described, "files": list(file_paths), "problems": list(problems)}, sort_keys=True)
    files.write_whole(os.path.join(directory, _DESCRIPTION), data.encode())


def read_found(directory: str) -> FoundFiles:
    """Reads what a search has found.

    Args:
      directory: the directory that write_found() has written.

    Raises:
      InputError: the base cannot be read.
      OSError: a file cannot be read.
    """
    found = files.read_json(os.path.join(directory, _DESCRIPTION))
    if found["problems"]:
        raise InputError(found["problems"])
    root = RootFilesystem()
    folders = {"": root.root}
    extracted = {}
    for number, value in enumerate(found["nodes"]):
        folder, _, name = value["path"].rpartition("/")
        node = folders[folder].children[name] = _make_node(value, number)
        if isinstance(node, DirectoryNode):
            folders[value["path"]] = node
        if value["content"]:
            records = {XATTR + name: text for name, text in node.xattrs.items()}
            extracted[0, number] = ExtractedFile(os.path.join(directory, value["content"]), records)
    return FoundFiles(root, extracted, found["files"])


def _describe_node(path: str, node: Node, file: ExtractedFile | None) -> dict[str, Any]:
    """Returns an item of `nodes` in found.json.

    Args:
      path: the path of the node.
      node: the node.
      file: the copy of its content; None if it has none.
    """
    xattrs: Mapping[bytes, bytes] = node.xattrs
    if file:  # The node of a file lacks most attributes.
        xattrs = {name[len(XATTR) :]: value for name, value in file.records.items() if name.startswith(XATTR)}
    return {
        "path": path,
        "type": node.type,
        "link": node.link if node.type == SYMLINK else "",
        "mode": node.mode,
        "uid": node.uid,
        "gid": node.gid,
        "size": node.size,
        "sparse": node.sparse,
        "xattrs": {name.decode("utf-8", "surrogateescape"): value.hex() for name, value in xattrs.items()},
        "content": os.path.basename(file.source) if file else "",
    }


def _make_node(value: Mapping[str, Any], number: int) -> Node:
    """Returns the node of an item of `nodes`, whose number it gets as the number of its entry."""
    node = DirectoryNode(None, 0, number) if value["type"] == DIRECTORY else Node(None, 0, number)
    node.type, node.link, node.sparse, node.entry = value["type"], value["link"], value["sparse"], number
    node.mode, node.uid, node.gid, node.size = value["mode"], value["uid"], value["gid"], value["size"]
    node.xattrs = {name.encode("utf-8", "surrogateescape"): bytes.fromhex(text) for name, text in value["xattrs"].items()}
    return node


def list_contents(nodes: Mapping[str, Node]) -> list[tuple[int, int]]:
    """Returns the layer and the entry of each node whose content can be copied."""
    return [(node.layer, node.entry) for node in nodes.values() if node.type == FILE and not node.sparse]
