"""Merged, which knows layers by their metadata, has the root filesystem that Tree makes of the layers themselves."""

from __future__ import annotations

import io
import random

from packer.archive import Archive
from packer.contents import Contents
from packer.merged import Merged
from packer.rootfs import Tree
from support import oci_layout
from support.oci_layout import Member, directory, symlink


def _archive(members: list[Member]) -> Archive:
    return Archive(io.BytesIO(oci_layout.layer(members)))


def _metadata(members: list[Member]) -> dict[str, object]:
    contents = Contents()
    for member in _archive(members):
        contents.add_member(member)
    return {"contents": contents.encode(), "capabilities": {}}


def _kinds(merged: Merged) -> dict[str, str]:
    paths = [*merged.files, *merged.directories, *merged.links]
    assert len(paths) == len(set(paths))
    return {path: merged.kind(path) for path in paths}


def _random_layer(chance: random.Random, below: dict[str, str]) -> list[Member]:
    """Returns entries of every kind, whiteouts among them, each at a path whose parent is a directory.

    Args:
      chance: the source of randomness.
      below: the kinds of the entries of the layers below, by path.
    """
    kinds = dict(below)
    members: list[Member] = []
    used: set[str] = set()
    for _ in range(chance.randint(1, 10)):
        folder = chance.choice(["", *(path for path, kind in kinds.items() if kind == "directory")])
        name = chance.choice("abc")
        path = f"{folder}/{name}"
        # Each place once: a layer with two entries for one, or an entry and its whiteout, means what the engine makes of it.
        if any(f"{other}/".startswith(f"{path}/") for other in used):
            continue
        kind = chance.choice(["directory", "directory", "file", "file", "symlink", "whiteout", "opaque"])
        if kind == "opaque" and kinds.get(path) != "directory":
            continue
        used.add(path)
        made = {
            "directory": directory(path, chance.choice([0o700, 0o755])),
            "file": Member(path, content=b"x"),
            "symlink": symlink(path, "nowhere"),
            "whiteout": Member(f"{folder}/.wh.{name}"),
            "opaque": Member(f"{path}/.wh..wh..opq"),
        }[kind]
        members.append(made)
        if kind in ("whiteout", "file", "symlink", "opaque"):
            used |= {other for other in kinds if other.startswith(path + "/")}
            kinds = {other: known for other, known in kinds.items() if not other.startswith(path + "/")}
        if kind == "whiteout":
            kinds.pop(path, None)
        elif kind != "opaque":
            kinds[path] = kind
    return members


def test_random_layers():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    compared = 0
    for _ in range(400):
        tree, merged = Tree(), Merged()
        for number in range(chance.randint(1, 4)):
            members = _random_layer(chance, {path: node.type for path, node in tree.walk()})
            tree.apply(_archive(members), number)
            merged.apply(_metadata(members))
            expected = {path: node.type for path, node in tree.walk()}
            assert _kinds(merged) == expected, members
            modes = {path: node.mode for path, node in tree.walk() if node.type == "directory"}
            assert {path: each.mode for path, each in merged.directories.items()} == modes
            compared += len(expected)
    assert compared > 2000


def test_a_directory_that_becomes_a_file():
    """And takes all that was in it along, with what is known of it."""
    merged = Merged()
    below = _metadata([directory("a"), directory("a/b"), Member("a/b/c", content=b"x"), symlink("a/l", "b")])
    merged.apply({**below, "capabilities": {"/a/b/c": "cap_bpf=p"}})
    (replaced,) = merged.apply(_metadata([Member("a", content=b"x")]))
    assert replaced == ("/a", "a directory", "a file")
    assert _kinds(merged) == {"/a": "file"} and merged.capabilities == {}


def test_forty_links_are_followed_and_no_more():
    """As by path_resolution(7)."""
    for count in (40, 41):
        merged = Merged()
        merged.apply(_metadata([*(symlink(f"l{number}", f"l{number + 1}") for number in range(count)), Member(f"l{count}", content=b"x")]))
        assert merged.file("/l0") == (f"/l{count}" if count == 40 else "")


def test_paths_that_have_no_name_in_a_build_file():
    metadata = _metadata([directory("./"), directory("./d"), Member("d/caf\udce9", content=b"x"), symlink("d/l", "caf\udce9")])
    assert metadata["contents"] == {"directories": {"/d": (0o755, 0, 0)}, "files": [], "links": {}}
