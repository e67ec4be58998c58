"""A base image that another tool packs, and the actions that read it, for tests."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable

import pytest

from support import packer, require

PLATFORM = "linux/amd64"


def read_capabilities(root: pathlib.Path, path: str) -> str:
    """Returns the attribute security.capability of an unpacked file in hex; "" if it has none."""
    try:
        return os.getxattr(root / path, "security.capability").hex()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def umoci_layout(tmp_path_factory) -> pathlib.Path:
    """The OCI image layout of a base that umoci packs from the real ping: two layers, the second with whiteouts."""
    require.root()
    directory = tmp_path_factory.mktemp("base")
    umoci, image = require.tool("umoci"), f"{directory}/layout:base"
    subprocess.run([umoci, "init", "--layout", directory / "layout"], check=True)
    subprocess.run([umoci, "new", "--image", image], check=True)
    ping = pathlib.Path(require.tool("ping")).read_bytes()

    def add_layer(number: int, edit: Callable[[pathlib.Path], None]) -> None:
        bundle = directory / f"bundle{number}"
        subprocess.run([umoci, "unpack", "--image", image, bundle], check=True, capture_output=True)
        edit(bundle / "rootfs")
        subprocess.run([umoci, "repack", "--image", image, bundle], check=True, capture_output=True)

    def make_files(root: pathlib.Path) -> None:
        for name in ("usr/bin", "opt/gone", "opt/opaque", "var"):
            (root / name).mkdir(parents=True)
        (root / "bin").symlink_to("usr/bin")
        (root / "sbin").symlink_to("/bin")
        (root / "loop").symlink_to("loop2")
        (root / "loop2").symlink_to("loop")
        for name in ("usr/bin/ping", "usr/bin/removed", "opt/gone/tool", "opt/opaque/old", "usr/bin/replaced"):
            (root / name).write_bytes(ping)
            os.chmod(root / name, 0o755)
        os.chown(root / "usr/bin/ping", 12, 34)
        os.chmod(root / "usr/bin/ping", 0o4751)
        subprocess.run([require.tool("setcap"), "cap_net_raw=ep", root / "usr/bin/ping"], check=True)
        os.setxattr(root / "usr/bin/ping", "user.note", b"\xff\x00kept")
        os.link(root / "usr/bin/ping", root / "usr/bin/ping4")
        (root / "usr/bin/latest").symlink_to("ping")
        (root / "usr/bin/script").write_bytes(b"#!/bin/sh\n")
        os.chmod(root / "usr/bin/script", 0o755)

    def remove_files(root: pathlib.Path) -> None:
        os.unlink(root / "usr/bin/removed")
        shutil.rmtree(root / "opt/gone")
        shutil.rmtree(root / "opt/opaque")
        (root / "opt/opaque").mkdir()
        (root / "opt/opaque/new").write_bytes(ping)
        os.chmod(root / "opt/opaque/new", 0o755)
        os.unlink(root / "usr/bin/replaced")
        (root / "usr/bin/replaced").write_bytes(ping + b"newer")
        os.chmod(root / "usr/bin/replaced", 0o755)

    add_layer(1, make_files)
    add_layer(2, remove_files)
    return directory / "layout"


def copy_files(directory: pathlib.Path, layout: pathlib.Path, *flags: str) -> packer.Done:
    """Copies files of a base to a layer, which assigns them capabilities.

    Args:
      directory: the directory of the outputs `blob` and `metadata`.
      layout: the OCI image layout of the base.
      *flags: the files, from packer.assign() and packer.change().
    """
    return packer.run(
        "copy",
        "--output=blob",
        "--metadata=metadata",
        "--compression=none",
        "--created-by=test",
        f"--lower-layout={layout}",
        f"--platform={PLATFORM}",
        *flags,
        cwd=directory,
    )


def unpack_image(directory: pathlib.Path, archive: pathlib.Path) -> packer.Done:
    """Unpacks an archive, or copies a layout, to the layout `directory`/layout."""
    return packer.run("unpack", "--output=layout", f"--archive={archive}", cwd=directory)


def copy_to_source_tree(layout: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    """Copies a layout to a directory whose files can be changed, as in a source tree; returns its path."""
    source = directory / "source"
    shutil.copytree(layout, source)
    for path in [source, *source.rglob("*")]:
        os.chmod(path, 0o755)
    return source
