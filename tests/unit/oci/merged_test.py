"""MergedContents, which knows layers by their metadata, has the root filesystem that RootFilesystem makes of the layers themselves."""

from __future__ import annotations

import contextlib
import io
import json
import posixpath
import random

from rules_setcap.archive.reader import Archive
from rules_setcap.oci.annotations import CAPABILITIES_ANNOTATION, annotate_capabilities
from rules_setcap.oci.layer_contents import LayerContents
from rules_setcap.oci.merged_contents import MergedContents
from rules_setcap.oci.root_filesystem import RootFilesystem
from support import oci_layout
from support.oci_layout import Member, directory, symlink

TEXTS = ["cap_kill=ep", "cap_bpf=p"]


def _archive(members: list[Member]) -> Archive:
    return Archive(io.BytesIO(oci_layout.layer(members)))


def _metadata(members: list[Member]) -> dict[str, object]:
    contents = LayerContents()
    for member in _archive(members):
        contents.add_member(member)
    return {"contents": contents.encode(), "capabilities": {}}


def _with_capabilities(chance: random.Random, members: list[Member]) -> dict[str, object]:
    """Returns the metadata of a layer in which some files have capabilities."""
    metadata = _metadata(members)
    files = metadata["contents"]["files"]
    return {**metadata, "capabilities": {path: chance.choice(TEXTS) for path in files if chance.random() < 0.7}}


def _kinds(merged: MergedContents) -> dict[str, str]:
    paths = [*merged.files, *merged.directories, *merged.links]
    assert len(paths) == len(set(paths))
    return {path: merged.get_type(path) for path in paths}


def _random_layer(chance: random.Random, below: MergedContents) -> list[Member]:
    """Returns entries of every kind, whiteouts among them, each at a path whose parent is a directory or a link to one.

    Args:
      chance: the source of randomness.
      below: the merged root filesystem of the layers below.
    """
    kinds = _kinds(below)
    members: list[Member] = []
    used: set[str] = set()
    for _ in range(chance.randint(1, 10)):
        folders = ["", *(path for path, kind in kinds.items() if kind == "directory"), *_links_to_directories(below, kinds, used)]
        folder, name = chance.choice(folders), chance.choice("abc")
        path, real = f"{folder}/{name}", f"{folder}/{name}"
        if kinds.get(folder) == "symlink":
            real = f"{below.resolve_path(folder)}/{name}"
        # Each place once: a layer with two entries for one, or an entry and its whiteout, means what the engine makes of it.
        if real != path and below.get_type(real) == "symlink" or any(f"{other}/".startswith(f"{real}/") for other in used):
            continue
        kind = chance.choice(["directory", "directory", "file", "file", "symlink", "whiteout", "opaque"])
        if kind == "opaque" and kinds.get(real) != "directory":
            continue
        used |= {folder, path, real}
        members.append(
            {
                "directory": directory(path, chance.choice([0o700, 0o755])),
                "file": Member(path, content=b"x"),
                "symlink": symlink(path, chance.choice(["nowhere", "/a", "/b", "/c/a", "."])),
                "whiteout": Member(f"{folder}/.wh.{name}"),
                "opaque": Member(f"{path}/.wh..wh..opq"),
            }[kind]
        )
        if kind in ("whiteout", "file", "symlink", "opaque"):
            used |= {other for other in kinds if other.startswith(real + "/")}
            kinds = {other: known for other, known in kinds.items() if not other.startswith(real + "/")}
        if kind == "whiteout":
            kinds.pop(real, None)
        elif kind != "opaque":
            kinds[real] = kind
    return members


def _links_to_directories(merged: MergedContents, kinds: dict[str, str], used: set[str]) -> list[str]:
    """Returns the symbolic links of layers below that lead to a directory at once, and that the layer has not replaced."""
    found = []
    for path in merged.links.keys() - used:
        with contextlib.suppress(ValueError):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), merged.links[path]))
            if kinds.get(path) == "symlink" and target == merged.resolve_path(path) and kinds.get(target) == "directory":
                found.append(path)
    return sorted(found)


def test_random_layers():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    compared = 0
    for _ in range(400):
        tree, merged = RootFilesystem(), MergedContents()
        for number in range(chance.randint(1, 4)):
            members = _random_layer(chance, merged)
            tree.apply_layer(_archive(members), number)
            merged.apply_layer(_metadata(members))
            expected = {path: node.type for path, node in tree.walk()}
            assert _kinds(merged) == expected, members
            modes = {path: node.mode for path, node in tree.walk() if node.type == "directory"}
            assert {path: each.mode for path, each in merged.directories.items()} == modes
            compared += len(expected)
    assert compared > 2000


def test_annotations_of_layers_add_up_to_those_of_the_image():
    """A policy that knows the layers' annotations alone comes to the same answer."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    seen = removed = 0
    for _ in range(400):
        merged, layers = MergedContents(), []
        for _ in range(chance.randint(1, 4)):
            layers.append(_with_capabilities(chance, _random_layer(chance, merged)))
            merged.apply_layer(layers[-1])
        built = chance.randint(0, len(layers))
        of_image, _ = annotate_capabilities(layers[:built], layers[built:])
        _, of_layers = annotate_capabilities([], layers)
        added: dict[str, str] = {}
        for each in of_layers:
            added.update(json.loads(each[CAPABILITIES_ANNOTATION]))
        expected = {path: text for path, text in added.items() if text}
        assert json.loads(of_image[CAPABILITIES_ANNOTATION]) == expected == merged.capabilities
        seen += len(expected)
        removed += len(added) - len(expected)
    assert seen > 200 and removed > 10


def test_a_directory_that_becomes_a_file():
    """And takes all that was in it along, with what is known of it."""
    merged = MergedContents()
    below = _metadata([directory("a"), directory("a/b"), Member("a/b/c", content=b"x"), symlink("a/l", "b")])
    merged.apply_layer({**below, "capabilities": {"/a/b/c": "cap_bpf=p"}})
    (replaced,) = merged.apply_layer(_metadata([Member("a", content=b"x")]))
    assert replaced == ("/a", "a directory", "a file")
    assert _kinds(merged) == {"/a": "file"} and merged.capabilities == {}


def test_forty_links_are_followed_and_no_more():
    """As by path_resolution(7)."""
    for count in (40, 41):
        merged = MergedContents()
        merged.apply_layer(
            _metadata([*(symlink(f"l{number}", f"l{number + 1}") for number in range(count)), Member(f"l{count}", content=b"x")])
        )
        assert merged.find_file("/l0") == (f"/l{count}" if count == 40 else "")


def test_paths_that_have_no_name_in_a_build_file():
    metadata = _metadata([directory("./"), directory("./d"), Member("d/caf\udce9", content=b"x"), symlink("d/l", "caf\udce9")])
    assert metadata["contents"] == {"directories": {"/d": (0o755, 0, 0)}, "files": [], "links": {}}


def test_a_layer_that_reaches_a_directory_through_a_link():
    """Some engines make a directory in place of the link; the entry is applied where the link leads."""
    merged = MergedContents()
    merged.apply_layer(
        _metadata([directory("usr"), directory("usr/bin"), symlink("bin", "usr/bin"), Member("usr/bin/x", content=b"x")])
    )
    merged.capabilities["/usr/bin/x"] = "cap_kill=ep"
    (replaced,) = merged.apply_layer(_metadata([Member("bin/x", content=b"y"), Member("bin/.wh.y")]))
    assert replaced == ("/bin", 'a symbolic link to "usr/bin"', "a directory")
    assert merged.capabilities == {} and merged.files == {"/usr/bin/x"}


def test_a_layer_below_links_that_lead_in_circles():
    merged = MergedContents()
    merged.apply_layer(_metadata([symlink("a", "b"), symlink("b", "a")]))
    merged.apply_layer(_metadata([Member("a/x", content=b"x")]))
    assert merged.problems == ['layers: "/a": more than 40 symbolic links lead from "/a"']
