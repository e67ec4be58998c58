"""The merged root filesystem from the metadata of layers is the one from the layers themselves."""

from __future__ import annotations

import contextlib
import io
import json
import posixpath
import random

from rules_setcap.archive.reader import TarReader
from rules_setcap.oci.annotations import CAPABILITIES_ANNOTATION, annotate_capabilities
from rules_setcap.oci.layer_contents import LayerContents
from rules_setcap.oci.merged_contents import MergedContents
from rules_setcap.oci.root_filesystem import RootFilesystem
from support import oci_layout
from support.oci_layout import Member, directory, symlink

TEXTS = ["cap_kill=ep", "cap_bpf=p"]


def _make_archive(members: list[Member]) -> TarReader:
    return TarReader(io.BytesIO(oci_layout.layer(members)))


def _list_layer(members: list[Member]) -> dict[str, object]:
    contents = LayerContents()
    for member in _make_archive(members):
        contents.add_member(member)
    return {"contents": contents.encode(), "capabilities": {}}


def _list_layer_with_capabilities(chance: random.Random, members: list[Member]) -> dict[str, object]:
    """Returns the metadata of a layer in which some files have capabilities."""
    metadata = _list_layer(members)
    files = metadata["contents"]["files"]
    return {**metadata, "capabilities": {path: chance.choice(TEXTS) for path in files if chance.random() < 0.7}}


def _list_types(merged: MergedContents) -> dict[str, str]:
    paths = [*merged.files, *merged.directories, *merged.links]
    assert len(paths) == len(set(paths))
    return {path: merged.get_type(path) for path in paths}


def _draw_layer(chance: random.Random, lower: MergedContents) -> list[Member]:
    """Returns entries of every entry_type, whiteouts among them, each at a path whose parent is a directory or a link to one.

    Args:
      chance: the source of randomness.
      lower: the merged root filesystem of the lower layers.
    """
    types = _list_types(lower)
    members: list[Member] = []
    used: set[str] = set()
    for _ in range(chance.randint(1, 10)):
        folders = [
            "",
            *(path for path, entry_type in types.items() if entry_type == "directory"),
            *_find_links_to_directories(lower, types, used),
        ]
        folder, name = chance.choice(folders), chance.choice("abc")
        path, real = f"{folder}/{name}", f"{folder}/{name}"
        if types.get(folder) == "symlink":
            real = f"{lower.resolve_path(folder)}/{name}"
        # No path is there twice: engines differ about two entries with one path, and about an entry and its whiteout.
        if (real != path and lower.get_type(real) == "symlink") or any(f"{other}/".startswith(f"{real}/") for other in used):
            continue
        entry_type = chance.choice(["directory", "directory", "file", "file", "symlink", "whiteout", "opaque"])
        if entry_type == "opaque" and types.get(real) != "directory":
            continue
        used |= {folder, path, real}
        members.append(
            {
                "directory": directory(path, chance.choice([0o700, 0o755])),
                "file": Member(path, content=b"x"),
                "symlink": symlink(path, chance.choice(["nowhere", "/a", "/b", "/c/a", "."])),
                "whiteout": Member(f"{folder}/.wh.{name}"),
                "opaque": Member(f"{path}/.wh..wh..opq"),
            }[entry_type]
        )
        if entry_type in ("whiteout", "file", "symlink", "opaque"):
            used |= {other for other in types if other.startswith(real + "/")}
            types = {other: other_type for other, other_type in types.items() if not other.startswith(real + "/")}
        if entry_type == "whiteout":
            types.pop(real, None)
        elif entry_type != "opaque":
            types[real] = entry_type
    return members


def _find_links_to_directories(merged: MergedContents, types: dict[str, str], used: set[str]) -> list[str]:
    """Returns the symbolic links of lower layers whose targets are directories, and that the layer has not replaced."""
    links = []
    for path in merged.links.keys() - used:
        with contextlib.suppress(ValueError):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), merged.links[path]))
            if types.get(path) == "symlink" and target == merged.resolve_path(path) and types.get(target) == "directory":
                links.append(path)
    return sorted(links)


def test_random_layers_have_the_same_root_filesystem():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    compared = 0
    for _ in range(400):
        tree, merged = RootFilesystem(), MergedContents()
        for number in range(chance.randint(1, 4)):
            members = _draw_layer(chance, merged)
            tree.apply_layer(_make_archive(members), number)
            merged.apply_layer(_list_layer(members))
            expected = {path: node.type for path, node in tree.walk()}
            assert _list_types(merged) == expected, members
            modes = {path: node.mode for path, node in tree.walk() if node.type == "directory"}
            assert {path: attributes.mode for path, attributes in merged.directories.items()} == modes
            compared += len(expected)
    assert compared > 2000


def test_the_annotations_of_layers_add_up_to_that_of_the_image():
    """A policy that reads only the annotations of layers gets the same answer."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    compared = removed = 0
    for _ in range(400):
        merged, layers = MergedContents(), []
        for _ in range(chance.randint(1, 4)):
            layers.append(_list_layer_with_capabilities(chance, _draw_layer(chance, merged)))
            merged.apply_layer(layers[-1])
        built = chance.randint(0, len(layers))
        image_annotations, _ = annotate_capabilities(layers[:built], layers[built:])
        _, layer_annotations = annotate_capabilities([], layers)
        added: dict[str, str] = {}
        for changed in layer_annotations:
            added.update(json.loads(changed[CAPABILITIES_ANNOTATION]))
        expected = {path: text for path, text in added.items() if text}
        assert json.loads(image_annotations[CAPABILITIES_ANNOTATION]) == expected == merged.capabilities
        compared += len(expected)
        removed += len(added) - len(expected)
    assert compared > 200 and removed > 10


def test_a_file_that_replaces_a_directory_removes_its_content():
    merged = MergedContents()
    below = _list_layer([directory("a"), directory("a/b"), Member("a/b/c", content=b"x"), symlink("a/l", "b")])
    merged.apply_layer({**below, "capabilities": {"/a/b/c": "cap_bpf=p"}})
    (replaced,) = merged.apply_layer(_list_layer([Member("a", content=b"x")]))
    assert replaced == ("/a", "a directory", "a file")
    assert _list_types(merged) == {"/a": "file"} and merged.capabilities == {}


def test_at_most_forty_links_are_followed():
    """The limit is that of path_resolution(7)."""
    for count in (40, 41):
        merged = MergedContents()
        merged.apply_layer(
            _list_layer(
                [*(symlink(f"l{number}", f"l{number + 1}") for number in range(count)), Member(f"l{count}", content=b"x")]
            )
        )
        assert merged.find_file("/l0") == (f"/l{count}" if count == 40 else "")


def test_paths_that_are_not_utf_8_are_not_listed():
    metadata = _list_layer([directory("./"), directory("./d"), Member("d/caf\udce9", content=b"x"), symlink("d/l", "caf\udce9")])
    assert metadata["contents"] == {"directories": {"/d": (0o755, 0, 0)}, "files": [], "links": {}}


def test_an_entry_below_a_link_of_a_lower_layer_is_applied_where_the_link_leads():
    """Some engines replace the link by a directory, so the link is reported as replaced."""
    merged = MergedContents()
    merged.apply_layer(
        _list_layer([directory("usr"), directory("usr/bin"), symlink("bin", "usr/bin"), Member("usr/bin/x", content=b"x")])
    )
    merged.capabilities["/usr/bin/x"] = "cap_kill=ep"
    (replaced,) = merged.apply_layer(_list_layer([Member("bin/x", content=b"y"), Member("bin/.wh.y")]))
    assert replaced == ("/bin", 'a symbolic link to "usr/bin"', "a directory")
    assert merged.capabilities == {} and merged.files == {"/usr/bin/x"}


def test_links_that_lead_in_circles_are_a_problem():
    merged = MergedContents()
    merged.apply_layer(_list_layer([symlink("a", "b"), symlink("b", "a")]))
    merged.apply_layer(_list_layer([Member("a/x", content=b"x")]))
    assert merged.problems == ['layers: "/a": more than 40 symbolic links lead from "/a"']
