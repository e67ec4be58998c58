"""A layer over other layers keeps their parent directories, follows their links, and does not replace entries of another type."""

from __future__ import annotations

import json
import os
import pathlib
import random
import subprocess
import tarfile
from typing import Any

import pytest

from support import oci_layout, packer, require
from support.oci_layout import Member, directory, symlink

DEBIAN = [
    directory("./"),
    symlink("bin", "usr/bin"),
    symlink("lib", "usr/lib"),
    directory("usr/"),
    directory("usr/bin/"),
    Member("usr/bin/sh", content=b"\x7fELF"),
    symlink("usr/bin/python3", "python3.11"),
    Member("usr/bin/python3.11", content=b"\x7fELF"),
    directory("usr/lib/", 0o755),
    directory("tmp/", 0o1777),
    directory("root/", 0o700),
    directory("home/"),
    directory("home/node/", 0o750, 1000, 1000),
    Member("etc/passwd", mode=0o644, content=b"root:x:0:0::/root:/bin/sh\n"),
]


@pytest.fixture
def base(tmp_path: pathlib.Path) -> str:
    """The flag that packs a layer on top of a Debian image."""
    return _list_base(tmp_path, DEBIAN)


def _list_base(directory: pathlib.Path, *layers: list[Member]) -> str:
    """Writes an image and lists its files; returns the flag that packs a layer on top of it."""
    layout = oci_layout.write(directory / "source-base", *layers)
    flags = [f"--layout={layout}", "--platform=linux/amd64", f"--output={directory}/source-contents"]
    assert packer.run("contents", *flags, cwd=directory) == (0, "")
    return "--base-contents=source-contents"


def _pack_layer(layer: packer.Layer, *flags: str) -> dict[str, str]:
    """Packs a layer; returns type, mode, owner and link of each entry by path."""
    assert layer.pack(*flags) == (0, "")
    with tarfile.open(layer.blob) as archive:
        return {
            entry.name: f"{entry.type.decode()} {entry.mode:04o} {entry.uid}:{entry.gid} {entry.linkname}".rstrip()
            for entry in archive
        }


def _find_problems(layer: packer.Layer, *flags: str) -> list[str]:
    """Packs a layer that is refused; returns the problems."""
    done = layer.pack(*flags)
    assert done.status == 1
    assert layer.outputs() == []
    return [line.removeprefix("//app:image: ") for line in done.stderr.splitlines()]


def test_parent_directories_are_added_without_layers_below(tmp_path):
    layer = packer.Layer(tmp_path).add("/a/b/c", b"")
    assert list(_pack_layer(layer)) == ["a", "a/b", "a/b/c"]
    assert list(_pack_layer(layer, "--parent-directories=missing")) == ["a", "a/b", "a/b/c"]
    assert list(_pack_layer(layer, "--parent-directories=none")) == ["a/b/c"]


def test_new_parent_directories_have_conventional_modes(tmp_path):
    layer = packer.Layer(tmp_path).add("/tmp/a", b"").add("/root/a", b"").add("/var/tmp/a", b"").add("/var/a/tmp/a", b"")
    modes = {name: text.split()[1] for name, text in _pack_layer(layer).items() if text.startswith("5")}
    assert modes == {"root": "0700", "tmp": "1777", "var": "0755", "var/a": "0755", "var/a/tmp": "0755", "var/tmp": "1777"}
    assert _pack_layer(layer, "--tar-style=ko")["/tmp"].split()[1] == "0555"


@pytest.mark.parametrize("path", ["/tmp/seed", "/root/.profile", "/home/node/app/x", "/new/x"])
def test_parent_directories_keep_the_attributes_of_the_base(tmp_path, base, path):
    layer = packer.Layer(tmp_path).add(path, b"")
    kept = {"/tmp/seed": {"tmp": "5 1777 0:0"}, "/root/.profile": {"root": "5 0700 0:0"}, "/new/x": {"new": "5 0755 0:0"}}
    expected = kept.get(path) or {"home": "5 0755 0:0", "home/node": "5 0750 1000:1000", "home/node/app": "5 0755 0:0"}
    assert _pack_layer(layer, base) == {**expected, path[1:]: "0 0755 0:0"}
    missing = {"new"} if path == "/new/x" else {"home/node/app"} if "app" in path else set()
    assert list(_pack_layer(layer, base, "--parent-directories=missing")) == [*missing, path[1:]]
    assert list(_pack_layer(layer, base, "--parent-directories=none")) == [path[1:]]


def test_a_parent_directory_keeps_its_extended_attributes(tmp_path):
    records = {"SCHILY.xattr.user.note": "kept"}
    flag = _list_base(tmp_path, [directory("data/", 0o2770, 5, 6)._replace(records=records)])
    layer = packer.Layer(tmp_path).add("/data/x", b"")
    assert _pack_layer(layer, flag)["data"] == "5 2770 5:6"
    with tarfile.open(layer.blob) as archive:
        assert archive.getmember("data").pax_headers == records


def test_a_parent_directory_does_not_repeat_the_attributes_of_overlayfs(tmp_path):
    """They are about the layer of the base: repeated, they would hide the files of the base in the directory."""
    records = {"SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.note": "kept"}
    opaque = [directory("data/")._replace(records=records), Member("data/old", content=b"")]
    # Engines differ about the hard link, so the base is unpacked as overlayfs does, which marks a directory with an opaque whiteout.
    whiteout = [directory("more/"), Member("more/.wh..wh..opq"), Member("more/link", b"1", link="old")]
    flag = _list_base(tmp_path, [Member("old", content=b"")], opaque, whiteout)
    layer = packer.Layer(tmp_path).add("/data/x", b"").add("/more/x", b"")
    _pack_layer(layer, flag)
    with tarfile.open(layer.blob) as archive:
        assert archive.getmember("data").pax_headers == {"SCHILY.xattr.user.note": "kept"}
        assert archive.getmember("more").pax_headers == {}


def test_links_of_the_base_are_followed(tmp_path, base):
    """The entry is at the path to which /bin leads, and /bin stays a link. Capabilities and modes follow the link as well."""
    layer = (
        packer.Layer(tmp_path).add("/bin/foo", b"\x7fELF").add("/bin/foo.runfiles/_main/foo", type="symlink", target="../../foo")
    )
    layer.add("/lib/foo/x.so", b"").add("/lib", type="directory")
    flags = [base, packer.assign("/bin/foo", "net_raw"), packer.change("modes", "/bin/foo", mode="0500")]
    assert _pack_layer(layer, *flags) == {
        "usr": "5 0755 0:0",
        "usr/bin": "5 0755 0:0",
        "usr/bin/foo": "0 0500 0:0",
        "usr/bin/foo.runfiles": "5 0755 0:0",
        "usr/bin/foo.runfiles/_main": "5 0755 0:0",
        "usr/bin/foo.runfiles/_main/foo": "2 0777 0:0 ../../foo",
        "usr/lib": "5 0755 0:0",
        "usr/lib/foo": "5 0755 0:0",
        "usr/lib/foo/x.so": "0 0755 0:0",
    }
    assert layer.metadata()["capabilities"] == {"/usr/bin/foo": "cap_net_raw=p"}


def test_a_directory_that_the_target_names_has_the_attributes_of_the_target(tmp_path, base):
    layer = packer.Layer(tmp_path).add("/tmp", type="directory", attribute="directories").add("/root", type="directory")
    entries = _pack_layer(layer, base, packer.change("modes", "/home/node", mode="0700"), '{"path": "/home/node/x"}')
    assert entries == {
        "home": "5 0755 0:0",
        "home/node": "5 0700 1000:1000",
        "home/node/x": "0 0755 0:0",
        "root": "5 0700 0:0",
        "tmp": "5 0755 0:0",
    }
    contents = layer.metadata()["contents"]
    assert set(contents["parents"]) == {"/home", "/root"}


CONFLICTS = {
    "a file in place of a link": (
        {"path": "/bin/python3", "source": "source0"},
        'srcs: "/bin/python3": would replace a symbolic link to "python3.11" of a layer below by a file at "/usr/bin/python3"; '
        'write "/usr/bin/python3.11" for the file that it leads to; to replace it, add "/usr/bin/python3" to replaces',
    ),
    "a file in place of a directory": (
        {"path": "/tmp", "source": "source0"},
        'srcs: "/tmp": would replace a directory of a layer below by a file; choose another path; to replace it, add "/tmp" to replaces',
    ),
    "a link in place of a directory": (
        {"path": "/tmp", "type": "symlink", "target": "var/tmp"},
        'srcs: "/tmp": would replace a directory of a layer below by a symbolic link to "var/tmp"; choose another path; '
        'to replace it, add "/tmp" to replaces',
    ),
    "a link in place of a file": (
        {"path": "/etc/passwd", "type": "symlink", "target": "x"},
        'srcs: "/etc/passwd": would replace a file of a layer below by a symbolic link to "x"; choose another path; '
        'to replace it, add "/etc/passwd" to replaces',
    ),
    "a directory in place of a file": (
        {"path": "/etc/passwd", "type": "directory"},
        'srcs: "/etc/passwd": would replace a file of a layer below by a directory; choose another path; '
        'to replace it, add "/etc/passwd" to replaces',
    ),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_an_entry_of_another_type_is_not_replaced(tmp_path, base, name):
    entry, message = CONFLICTS[name]
    (tmp_path / "source0").write_bytes(b"x")
    layer = packer.Layer(tmp_path)
    assert _find_problems(layer, base, json.dumps(entry)) == [message]
    assert _pack_layer(layer, base, f"--replaces={json.dumps(entry['path'])}", json.dumps(entry))


def test_an_entry_of_the_same_type_is_replaced(tmp_path, base):
    layer = packer.Layer(tmp_path).add("/etc/passwd", b"x").add("/bin/python3", type="symlink", target="sh")
    assert set(_pack_layer(layer, base)) == {"etc", "etc/passwd", "usr", "usr/bin", "usr/bin/python3"}


def test_an_entry_below_a_file_is_find_problems(tmp_path, base):
    layer = packer.Layer(tmp_path).add("/etc/passwd/x", b"").add("/bin/sh/x/y", b"")
    assert _find_problems(layer, base) == [
        'srcs: "/etc/passwd/x": "/etc/passwd" is a file in a layer below, and cannot hold an entry',
        'srcs: "/bin/sh/x/y": "/usr/bin/sh" is a file in a layer below, and cannot hold an entry',
    ]


def test_two_paths_of_one_file_are_find_problems(tmp_path, base):
    layer = packer.Layer(tmp_path).add("/bin/a", b"1").add("/usr/bin/a", b"2")
    assert _find_problems(layer, base) == [
        'srcs: "/usr/bin/a": leads to "/usr/bin/a" through the links of the layers below, which srcs names as well; keep one'
    ]


def test_links_that_lead_in_circles_are_find_problems(tmp_path):
    flag = _list_base(tmp_path, [symlink("a", "b"), symlink("b", "a")])
    layer = packer.Layer(tmp_path).add("/a/x", b"\x7fELF")
    assert _find_problems(layer, flag, packer.assign("/a/x", "bpf")) == [
        'srcs: "/a/x": more than 40 symbolic links lead from "/a"'
    ]


def test_whiteouts_of_the_base_are_applied(tmp_path):
    flag = _list_base(
        tmp_path,
        [directory("gone"), directory("gone/sub"), directory("opaque", 0o700), directory("opaque/sub"), directory("replaced")],
        [Member(".wh.gone"), Member("opaque/.wh..wh..opq"), directory("opaque/new", 0o711), Member("replaced", content=b"x")],
    )
    layer = packer.Layer(tmp_path).add("/gone/sub/x", b"").add("/opaque/sub/x", b"").add("/opaque/new/x", b"")
    entries = _pack_layer(layer, flag)
    assert {name: text.split()[1] for name, text in entries.items() if text.startswith("5")} == {
        "gone": "0755",
        "gone/sub": "0755",
        "opaque": "0700",
        "opaque/new": "0711",
        "opaque/sub": "0755",
    }


def _pack_lower_layer(directory: pathlib.Path, name: str, *entries: dict[str, Any]) -> list[str]:
    """Packs a layer by itself; returns the flags that pack another layer on top of it."""
    (directory / f"source-{name}").write_bytes(b"x")
    lines = [
        json.dumps({"source": f"source-{name}", **entry} if entry.get("type", "file") == "file" else entry) for entry in entries
    ]
    flags = [f"--output=source-{name}.tar", f"--metadata=source-{name}.json", "--compression=none", "--created-by=test"]
    assert packer.run("layer", *flags, *lines, cwd=directory) == (0, "")
    return [f"--lower-metadata=source-{name}.json", f'--lower-label="//:{name}"']


def test_directories_that_lower_layers_changed_are_restored(tmp_path, base):
    """A layer that was packed without the base has other attributes for its parent directories. Directories that it names stay."""
    named = {"path": "/home", "type": "directory", "attribute": "directories", "mode": "0711"}
    lower = _pack_lower_layer(tmp_path, "one", {"path": "/home/node/x"}, {"path": "/root/x"}, named)
    layer = packer.Layer(tmp_path)
    assert _pack_layer(layer, base, *lower) == {"home": "5 0711 0:0", "home/node": "5 0750 1000:1000"}
    assert "empty" not in layer.metadata()
    unchanged = _pack_lower_layer(tmp_path, "two", {"path": "/tmp/x"}, {"path": "/app/x"})
    assert _pack_layer(layer, base, *unchanged) == {}
    assert layer.metadata()["empty"]


def test_a_lower_layer_that_replaces_another_type_is_find_problems(tmp_path, base):
    lower = _pack_lower_layer(tmp_path, "one", {"path": "/bin/foo"}) + _pack_lower_layer(tmp_path, "two", {"path": "/bin/foo/x"})
    layer = packer.Layer(tmp_path)
    assert _find_problems(layer, base, *lower) == [
        'layers: "//:one": a directory at "/bin" would replace a symbolic link to "usr/bin" of a layer below; '
        'to replace it, add "/bin" to replaces',
        'layers: "//:two": a directory at "/bin/foo" would replace a file of a layer below; to replace it, add "/bin/foo" to replaces',
    ]
    assert layer.pack(base, *lower, '--replaces="/bin"', '--replaces="/bin/foo"') == (0, "")


def test_a_tar_with_an_entry_below_a_link_of_the_base_is_find_problems(tmp_path, base):
    """Some engines follow the link, others replace it by a directory."""
    (tmp_path / "source-tar").write_bytes(
        oci_layout.layer([Member("bin/foo", content=b"x"), Member("usr/bin/bar", content=b"x")])
    )
    flags = [
        "--output=source-layer.tar",
        "--metadata=source-layer.json",
        "--compression=none",
        "--created-by=test",
        "--tar=source-tar",
    ]
    assert packer.run("setcap", *flags, cwd=tmp_path) == (0, "")
    layer = packer.Layer(tmp_path)
    lower = ["--lower-metadata=source-layer.json", '--lower-label="//:tar"']
    assert _find_problems(layer, base, *lower) == [
        'layers: "//:tar": a directory at "/bin" would replace a symbolic link to "usr/bin" of a layer below; '
        'to replace it, add "/bin" to replaces',
    ]
    assert layer.pack(base, *lower, '--replaces="/bin"') == (0, "")


@pytest.mark.parametrize(
    ("name", "shown", "value", "fault"),
    [
        ("app", "app", b"x" * 5, "has an invalid security.capability attribute, so that engines do not unpack the image: "),
        ("caf\udce9", "caf\\udce9", b"\x01\0\0\x02" + bytes(16), "has capabilities, and a path that is not UTF-8"),
    ],
)
def test_a_base_whose_capabilities_cannot_be_listed_is_find_problems(tmp_path, name, shown, value, fault):
    records = {"SCHILY.xattr.security.capability": value.decode("latin-1")}
    oci_layout.write(tmp_path / "source-base", [Member(name, records=records)])
    flags = ["--layout=source-base", "--platform=linux/amd64", "--output=source-contents"]
    assert packer.run("contents", *flags, cwd=tmp_path) == (0, "")
    (line,) = _find_problems(packer.Layer(tmp_path).add("/x", b""), "--base-contents=source-contents")
    assert line.startswith(f'base: "source-base": "/{shown}" {fault}')


@pytest.mark.parametrize("damage", ["flip", "cut", "grow"])
def test_a_base_layer_that_differs_from_its_descriptor_is_find_problems(tmp_path, damage):
    layout = oci_layout.write(tmp_path / "source-base", [directory(f"d{number}") for number in range(100)])
    (blob,) = (path for path in (layout / "blobs/sha256").iterdir() if path.read_bytes()[:2] == b"\x1f\x8b")
    data = bytearray(blob.read_bytes())
    if damage == "flip":
        data[-9] ^= 1
    blob.write_bytes(data[:-20] if damage == "cut" else data + b"x" if damage == "grow" else data)
    flags = ["--layout=source-base", "--platform=linux/amd64", "--output=source-contents"]
    assert packer.run("contents", *flags, cwd=tmp_path) == (0, "")
    # Each image on top of the base reports the problem, together with its own.
    (base_problem, own_problem) = _find_problems(packer.Layer(tmp_path).add("x", b""), "--base-contents=source-contents")
    assert base_problem.startswith('base: "source-base": ') and own_problem.startswith('srcs: "x": ')


def test_random_layers_do_not_change_the_base(tmp_path):
    """No directory, link or mode of a random base changes when GNU tar unpacks a layer over it."""
    require.root()
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for number in range(25):
        folder = tmp_path / str(number)
        folder.mkdir()
        members = _draw_base(chance)
        flag = _list_base(folder, members)
        layer = packer.Layer(folder)
        names = [name for name in "abc" for _ in range(2)]
        for _ in range(chance.randint(1, 6)):
            layer.add("/" + "/".join(chance.choices(names, k=chance.randint(1, 4))) + f"/new{chance.randrange(3)}", b"")
        done = layer.pack(flag, "--compression=none")
        if done.status == 1:  # A file of the base is in the way, or two paths lead to one file.
            assert all(
                "cannot hold an entry" in line or "keep one" in line or "lead from" in line for line in done.stderr.splitlines()
            )
            continue
        before, after = _unpack(folder / "before", members), _unpack(folder / "after", members, layer.blob)
        assert {path: after.get(path) for path in before} == before
        assert set(after) - set(before) >= {path for path in after if "new" in path}
        assert any("new" in path for path in after)


def _draw_base(chance: random.Random) -> list[Member]:
    """Returns directories of any mode and owner, files, and links to any of them."""
    members: dict[str, Member] = {}
    for _ in range(chance.randint(3, 14)):
        path = "/".join(chance.choices("abc", k=chance.randint(1, 3)))
        parents = [path[:end] for end in range(len(path)) if path[end] == "/"]
        if path in members or any(parent not in members or members[parent].type != tarfile.DIRTYPE for parent in parents):
            continue
        kind = chance.choice("ddddfll")
        # GNU tar sets the set-group-ID bit also on the directories that it creates in such a directory, so it has none.
        mode, owner = (
            chance.choice([0o700, 0o755, 0o1777, 0o2750 if len(parents) == 2 else 0o711]),
            (chance.randrange(3), chance.randrange(3)),
        )
        target = chance.choice(["", "../", "/"]) + "/".join(chance.choices("abc", k=chance.randint(1, 2)))
        members[path] = (
            directory(path, mode, *owner) if kind == "d" else Member(path, content=b"x") if kind == "f" else symlink(path, target)
        )
    return list(members.values())


def _unpack(folder: pathlib.Path, members: list[Member], *blobs: pathlib.Path) -> dict[str, tuple[int, int, int, str]]:
    """Unpacks a base and layers by GNU tar, which replaces links if entries have their paths; returns mode, owner and link by path."""
    folder.mkdir()
    (folder / "base.tar").write_bytes(oci_layout.layer(members))
    root = folder / "root"
    root.mkdir()
    for tar in (folder / "base.tar", *blobs):
        command = [require.tool("tar"), "-xpf", str(tar)]
        subprocess.run([*command, "-C", str(root)], check=True)
    entries = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        link = os.readlink(path) if path.is_symlink() else ""
        entries[str(path.relative_to(root))] = (status.st_mode, status.st_uid, status.st_gid, link)
    return entries
