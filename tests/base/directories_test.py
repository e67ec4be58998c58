"""No layer changes a directory or a link of the base, whether an engine unpacks layers together or one by one."""

from __future__ import annotations

import os
import pathlib

import pytest

from support import layout as layouts
from support import podman, require
from support.container import Bundle

HERE = pathlib.Path("tests/base")
ADDED = {
    "over_image": {"home/node/seed", "root/.profile", "tmp/seed", "usr/bin/helper"},
    "over_layout": {"home/node/seed", "root/.profile", "tmp/seed", "usr/bin/helper"},
    "over_without_binary": {"home/node/seed", "root/.profile", "tmp/seed"},
}


def _list_files(root: pathlib.Path) -> dict[str, str]:
    """Returns mode, owner and link of each file by path."""
    files = {}
    for path in root.rglob("*"):
        status = path.lstat()
        link = os.readlink(path) if path.is_symlink() else ""
        files[str(path.relative_to(root))] = f"{status.st_mode:o} {status.st_uid}:{status.st_gid} {link}".rstrip()
    return files


def _unpack_by_umoci(name: str, directory: pathlib.Path) -> dict[str, str]:
    """Unpacks the layers of an image into one directory; returns its files."""
    directory.mkdir()
    return _list_files(Bundle(HERE / name, directory).rootfs)


def _unpack_by_podman(name: str, directory: pathlib.Path) -> dict[str, str]:
    """Unpacks each layer of an image by itself, and merges them by overlayfs; returns the files."""
    directory.mkdir()
    engine = podman.write_program(directory, "overlay")
    podman.run(engine, "pull", "--quiet", "oci:" + layouts.copy_tagged(HERE / name, directory / "layout"))
    try:
        return _list_files(pathlib.Path(podman.run(engine, "image", "mount", podman.run(engine, "images", "--quiet"))))
    finally:
        podman.run(engine, "image", "umount", "--all")


@pytest.mark.parametrize("unpack", [_unpack_by_umoci, _unpack_by_podman])
@pytest.mark.parametrize("name", ADDED)
def test_the_files_of_the_base_are_unchanged(name, unpack, tmp_path):
    require.root()
    before, after = unpack("system_image", tmp_path / "base"), unpack(name, tmp_path / "above")
    assert (
        before["tmp"].startswith("41777 0:0") and before["home/node"] == "40750 1000:1000" and before["bin"].endswith(" usr/bin")
    )
    assert {path: after.get(path) for path in before} == before
    assert set(after) - set(before) == ADDED[name]


def test_one_layer_restores_the_directories_of_the_base():
    assert [len(layouts.manifest(HERE / name)["layers"]) for name in ADDED] == [3, 3, 3]
    assert len(layouts.manifest(HERE / "system_image")["layers"]) == 1
