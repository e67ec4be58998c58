"""No layer changes a directory or a link of the base, in engines that unpack layers together and in those that do not."""

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


def _listing(root: pathlib.Path) -> dict[str, str]:
    """Mode, owner and link of each path."""
    found = {}
    for path in root.rglob("*"):
        status = path.lstat()
        link = os.readlink(path) if path.is_symlink() else ""
        found[str(path.relative_to(root))] = f"{status.st_mode:o} {status.st_uid}:{status.st_gid} {link}".rstrip()
    return found


def _by_umoci(name: str, directory: pathlib.Path) -> dict[str, str]:
    directory.mkdir()
    return _listing(Bundle(HERE / name, directory).rootfs)


def _by_podman(name: str, directory: pathlib.Path) -> dict[str, str]:
    """Each layer by itself, the one on top of the other by the kernel's overlayfs."""
    directory.mkdir()
    engine = podman.program(directory, "overlay")
    podman.run(engine, "pull", "--quiet", "oci:" + layouts.tagged(HERE / name, directory / "layout"))
    try:
        return _listing(pathlib.Path(podman.run(engine, "image", "mount", podman.run(engine, "images", "--quiet"))))
    finally:
        podman.run(engine, "image", "umount", "--all")


@pytest.mark.parametrize("unpack", [_by_umoci, _by_podman])
@pytest.mark.parametrize("name", ADDED)
def test_the_base_is_unchanged(name, unpack, tmp_path):
    require.root()
    before, after = unpack("system_image", tmp_path / "base"), unpack(name, tmp_path / "above")
    assert (
        before["tmp"].startswith("41777 0:0") and before["home/node"] == "40750 1000:1000" and before["bin"].endswith(" usr/bin")
    )
    assert {path: after.get(path) for path in before} == before
    assert set(after) - set(before) == ADDED[name]


def test_no_layer_is_added_where_nothing_is_to_be_kept():
    assert [len(layouts.manifest(HERE / name)["layers"]) for name in ADDED] == [3, 3, 3]
    assert len(layouts.manifest(HERE / "system_image")["layers"]) == 1
