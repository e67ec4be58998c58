"""A search in the layers of an image finds what the merged root filesystem of all layers has, and reads no layer that it need not."""

from __future__ import annotations

import os
import pathlib
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from random_layers import Case, draw_case, make_layers

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.entry import DIRECTORY, FILE
from rules_setcap.archive.reader import TarError
from rules_setcap.archive.records import XATTR
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import extraction, found_files, layer_merge
from rules_setcap.oci.base_contents import InterpreterCollector
from rules_setcap.oci.engines import comparison, table
from rules_setcap.oci.layer_blobs import LayerBlob, open_layer
from rules_setcap.oci.layer_search import LayerSearch
from rules_setcap.oci.nodes import FilesystemBudget, Node
from rules_setcap.oci.root_filesystem import RootFilesystem
from support import archives, oci_layout
from support.oci_layout import Member, directory, symlink

COUNT = int(os.environ.get("COUNT", "150"))
USR = [directory("usr"), directory("usr/bin", 0o711, 1, 2)]


class Searched(NamedTuple):
    """What a search for paths has found.

    Attributes:
      search: the search.
      read: the numbers of the layers that have been read, the first one first.
      files: what found_files.read_found() returns.
    """

    search: LayerSearch
    read: list[int]
    files: found_files.FoundFiles


def _write_layers(path: pathlib.Path, layers: list[bytes]) -> list[LayerBlob]:
    """Writes layers into a directory."""
    blobs = []
    for number, data in enumerate(layers):
        (path / f"layer{number}").write_bytes(data)
        digest = archives.digest(data)
        blobs.append(LayerBlob(str(path / f"layer{number}"), {"digest": digest, "size": len(data)}, "base", digest))
    return blobs


def _search(path: pathlib.Path, blobs: list[LayerBlob], *paths: str) -> Searched:
    """Searches for paths, writes what is found, and reads it again."""
    read: list[int] = []

    def fetch(blob: LayerBlob) -> LayerBlob:
        read.append(blobs.index(blob))
        return blob

    search = LayerSearch(blobs, fetch, InterpreterCollector().inspect, ReadBudget(blobs=True))
    search.find_paths(paths)
    nodes = found_files.list_nodes(search.root, paths)
    extracted = extraction.extract_files(found_files.list_contents(nodes), search.blobs, str(path), ReadBudget(blobs=True))
    found_files.write_found(str(path), nodes, extracted, ())
    return Searched(search, read, found_files.read_found(str(path)))


def _describe(root: RootFilesystem, path: str, read_file: Callable[[Node], Any]) -> object:
    """Returns everything that a layer repeats of a file and its directories."""
    try:
        match = root.find_node(path)
    except TarError as error:
        return str(error)
    if not match:
        return None
    real, node = match
    described: list[object] = [real, read_file(node) if node.type == FILE else node.link]
    while real:
        match = root.find_node(real)
        assert match
        node = match[1]
        xattrs = {name: value for name, value in node.xattrs.items() if not name.startswith(b"trusted.overlay.")}
        described.append((real, node.type, node.mode, node.uid, node.gid, node.size, xattrs if node.type == DIRECTORY else None))
        real = real.rpartition("/")[0]
    return described


def _describe_found(searched: Searched, path: str) -> object:
    """Returns everything that a layer repeats of a file that a search has found."""
    files = searched.files
    return _describe(files.root, path, lambda node: _read_copy(files.extracted[node.layer, node.entry]))


def _describe_merged(tree: RootFilesystem, blobs: list[LayerBlob], directory: pathlib.Path, path: str) -> object:
    """Returns everything that a layer repeats of a file of a merged root filesystem."""

    def read_file(node: Node) -> tuple[bytes, dict[bytes, bytes]]:
        key = (node.layer, node.entry)
        return _read_copy(extraction.extract_files([key], blobs, str(directory), ReadBudget(blobs=True))[key])

    return _describe(tree, path, read_file)


def _read_copy(file: extraction.ExtractedFile) -> tuple[bytes, dict[bytes, bytes]]:
    records = {name: value for name, value in file.records.items() if name.startswith(XATTR)}
    return pathlib.Path(file.source).read_bytes(), records


def _list_paths(case: Case) -> list[str]:
    """Returns the paths of the entries of a case, and some that hardly exist."""
    names = {entry.path.replace(".wh.", "") for layer in case for entry in layer if ".wh..wh." not in entry.path}
    return sorted(f"/0/{name}" for name in {*names, "missing", "a/b/c", "c/a"})


def test_random_layers(tmp_path):
    """Layers with links, whiteouts, replaced directories, and entries about which engines differ."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    spared = 0
    for number in range(COUNT):
        case = draw_case(chance)
        blobs = _write_layers(tmp_path, make_layers({0: case}))
        path = chance.choice(_list_paths(case))
        try:
            tree = layer_merge.merge_layers(blobs, ReadBudget(blobs=True))
        except InputError:
            tree = None
        try:
            searched = _search(tmp_path, blobs, path)
        except InputError:
            assert tree is None, f"case {number}: {path}"
            continue
        assert searched.read == [*range(len(blobs))][::-1][: len(searched.read)]
        spared += len(blobs) - len(searched.read)
        if tree is None or (not searched.search.is_complete and not _is_for_containerd(blobs)):
            continue
        assert _describe_found(searched, path) == _describe_merged(tree, blobs, tmp_path, path), f"case {number}: {path}"
    assert spared > COUNT // 50


def _is_for_containerd(blobs: list[LayerBlob]) -> bool:
    """Returns whether containerd accepts an image."""
    for name in table.ENGINES:
        if not name.startswith("containerd"):
            continue
        unpacker = table.ENGINES[name](FilesystemBudget())
        for blob in blobs:
            unpacker.begin_layer()
            with open_layer(blob, ReadBudget(blobs=True)) as archive:
                for number, member in enumerate(comparison.shorten_entries(archive)):
                    unpacker.add_entry(member, number)
            unpacker.end_layer()
        if not unpacker.refusal:
            return True
    return False


OLD = [*USR, Member("usr/bin/ping", content=b"old")]
NEW = [*USR, Member("usr/bin/ping", content=b"new")]
OTHER = [*USR, Member("usr/bin/other", content=b"other")]


@pytest.mark.parametrize(
    ("layers", "read"),
    [
        ([OLD, NEW], 1),
        ([OLD, NEW, OTHER], 2),
        ([OLD, [Member("usr/bin/ping")]], 2),
        ([OLD, OTHER, [*USR, Member("usr/bin/.wh.ping")]], 1),
        ([OLD, OTHER, [directory("usr"), directory("usr/bin"), Member("usr/bin/.wh..wh..opq")]], 1),
        ([OLD, OTHER, [Member(".wh.usr")]], 1),
        ([OLD, [Member(".wh.usr")], OTHER], 2),
        ([OLD, [Member("usr", content=b"file")]], 1),
        ([OLD, [directory("usr"), Member("usr/bin", content=b"file")], OTHER], 2),
        ([[directory("usr"), directory("usr/sbin")], [directory("usr"), symlink("usr/bin", "sbin")], NEW], 1),
        ([[*USR, directory("usr/sbin")], [directory("usr"), symlink("usr/bin", "sbin")], [directory("usr")]], 3),
        ([OLD, NEW, [Member("app/server", content=b"")]], 2),
        ([OLD, NEW, [Member("app/ping", content=b"")]], 3),
        ([OLD, NEW, [Member("app/.wh..wh..opq", content=b"")]], 3),
        ([OLD, NEW, [directory("app"), Member("app/ping", content=b"")]], 2),
        ([OLD, [*NEW, Member("usr/bin/same", b"1", link="usr/bin/ping")]], 1),
        ([OLD, [*USR, Member("usr/bin/same", b"1", link="usr/bin/ping")], NEW], 1),
        ([OLD, OTHER, [*USR, Member("usr/bin/same", b"1", link="usr/bin/other")]], 3),
        ([OLD, OTHER, [*NEW, Member("usr/bin/ping", content=b"twice")]], 3),
    ],
    ids=[
        "replaced",
        "below another layer",
        "directories without entries",
        "whiteout",
        "opaque whiteout",
        "whiteout of a directory",
        "new directory after a whiteout",
        "a file as directory",
        "a directory that was a file",
        "a directory that was a link",
        "a link on the way",
        "an entry that a link may move elsewhere",
        "an entry that a link may move here",
        "an opaque whiteout that a link may move here",
        "an entry in a directory that is no link",
        "hard link in the layer",
        "hard link to a lower layer, below the file",
        "hard link to a lower layer, above the file",
        "two entries of one path",
    ],
)
def test_layers_that_are_read(tmp_path, layers, read):
    blobs = _write_layers(tmp_path, [oci_layout.layer(members) for members in layers])
    searched = _search(tmp_path, blobs, "/usr/bin/ping")
    assert len(searched.read) == read
    tree = layer_merge.merge_layers(blobs, ReadBudget(blobs=True))
    path = "/usr/bin/ping"
    assert _describe_found(searched, path) == _describe_merged(tree, blobs, tmp_path, path)


def test_no_path_needs_no_layer(tmp_path):
    assert _search(tmp_path, _write_layers(tmp_path, [oci_layout.layer(OLD)])).read == []


def test_many_layers_are_merged_only_if_they_may_decide(tmp_path, monkeypatch):
    """The work does not grow with the square of the number of layers."""
    applied = []
    apply_layer = RootFilesystem.apply_layer
    monkeypatch.setattr(RootFilesystem, "apply_layer", lambda *args: applied.append(args[2]) or apply_layer(*args))
    blobs = _write_layers(
        tmp_path, [oci_layout.layer([*OLD]), *(oci_layout.layer([*USR, Member(f"usr/bin/{n}")]) for n in range(60))]
    )
    assert len(_search(tmp_path, blobs, "/usr/bin/ping").read) == 61
    assert len(applied) < 3 * 61
