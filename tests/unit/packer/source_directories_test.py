"""Source directories are packed with everything in them. Links that mean the same in the image stay links."""

from __future__ import annotations

import os
import tarfile

import pytest

from support import packer


@pytest.fixture
def layer(tmp_path) -> packer.Layer:
    (tmp_path / "source").mkdir()
    return packer.Layer(tmp_path).add("/t", type="directory", source="source")


def _pack(layer: packer.Layer) -> dict[str, tarfile.TarInfo]:
    assert layer.pack() == (0, "")
    with tarfile.open(layer.blob) as archive:
        return {entry.name: entry for entry in archive}


def test_everything_in_a_directory_is_packed(layer, tmp_path):
    (tmp_path / "source/sub/empty").mkdir(parents=True)
    (tmp_path / "source/sub/file").write_bytes(b"x")
    entries = _pack(layer)
    assert list(entries) == ["t", "t/sub", "t/sub/empty", "t/sub/file"]
    assert entries["t/sub/file"].size == 1


def test_relative_links_within_the_directory_are_kept(layer, tmp_path):
    source = tmp_path / "source"
    (source / "sub").mkdir()
    (source / "sub/file").write_bytes(b"inside")
    (tmp_path / "outside").write_bytes(b"outside")
    (source / "inside").symlink_to("sub/file")
    (source / "sub/up").symlink_to("../inside")
    (source / "absolute").symlink_to(source / "sub/file")
    (source / "leaves").symlink_to("../outside")
    (source / "leaves-and-returns").symlink_to("../source/sub/file")
    (source / "directory").symlink_to("sub")
    entries = _pack(layer)
    links = {name: entry.linkname for name, entry in entries.items() if entry.issym()}
    assert links == {"t/inside": "sub/file", "t/sub/up": "../inside", "t/directory": "sub"}
    assert [entries[f"t/{name}"].size for name in ("absolute", "leaves", "leaves-and-returns")] == [6, 7, 6]


def test_links_that_lead_nowhere_or_out_of_the_repository_are_kept(layer, tmp_path):
    source = tmp_path / "source"
    targets = {"nowhere": "missing/file", "out": "../missing", "none": "/none", "shell": "/bin/sh", "mounts": "/proc/mounts"}
    for name, target in targets.items():
        (source / name).symlink_to(target)
    entries = _pack(layer)
    assert {name: entries[f"t/{name}"].linkname for name in targets} == targets
    assert {entries[f"t/{name}"].mode for name in targets} == {0o777}


def test_links_of_repository_rules_are_followed(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"12345")
    directory = tmp_path / "output_base/external/repo/directory"
    directory.mkdir(parents=True)
    (directory / "link").symlink_to(tmp_path / "elsewhere")
    (directory / "shell").symlink_to("/dev/null/sh")
    (tmp_path / "external").symlink_to("output_base/external")
    layer = packer.Layer(tmp_path).add("/t", type="directory", source="external/repo/directory")
    done = layer.pack()
    assert done == (
        1,
        '//app:image: srcs: "/t/shell": its source "external/repo/directory/shell" cannot be read: Not a directory\n',
    )
    (directory / "shell").unlink()
    assert _pack(layer)["t/link"].size == 5


def test_a_link_to_a_directory_that_it_is_in_is_a_problem(layer, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("a", "b"):
        (outside / name).symlink_to(outside)
    (tmp_path / "source/out").symlink_to(outside)
    done = layer.pack()
    assert done.status == 1
    assert done.stderr.splitlines() == [
        f'//app:image: srcs: "source/out/{name}": a link to a directory that it is in' for name in ("a", "b")
    ]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda source: (source / "dangling").symlink_to(source / "missing"), '"source/dangling" does not exist'),
        (lambda source: os.mkfifo(source / "fifo"), "is not a file"),
        (lambda source: os.symlink(b"\xff", bytes(source / "link")), "is not UTF-8"),
        (lambda source: open(bytes(source) + b"/\xff", "w").close(), "is not UTF-8"),
    ],
)
def test_what_a_tar_cannot_hold_is_a_problem(layer, tmp_path, make, message):
    make(tmp_path / "source")
    done = layer.pack()
    assert done.status == 1
    assert message in done.stderr
    assert layer.outputs() == []


def test_a_hard_link_has_the_attributes_of_its_file(tmp_path):
    layer = packer.Layer(tmp_path).add("/file", b"x", mode="0640", uid=5, gid=6).add("/link", type="hardlink", target="/file")
    link = _pack(layer)["link"]
    assert (link.islnk(), link.linkname, link.mode, link.uid, link.gid) == (True, "file", 0o640, 5, 6)
