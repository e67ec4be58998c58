"""The files about whose capabilities container engines differ are reported, and no others."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from rules_setcap import capabilities
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.getcap import cli
from rules_setcap.oci import image_reader
from rules_setcap.oci.engines.table import ENGINES
from support import oci_layout
from support.image import RECORD, layout, tar
from support.oci_layout import Member, directory

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterable

NET = capabilities.from_text("cap_net_bind_service=p")
ADMIN = capabilities.from_text("cap_net_admin=ep")
TEXTS = {None: None, NET: NET.to_text(), ADMIN: ADMIN.to_text(), "refused": "refused"}
OVERLAYS = {"containerd overlayfs", "docker overlay2", "podman overlay"}
DOCKER, CONTAINERD, PODMAN = ({name for name in ENGINES if name.startswith(each)} for each in ("docker", "containerd", "podman"))
BELOW = [("/app", NET, "file"), ("/d", None, "directory"), ("/d/x", NET, "file"), ("/l", None, ">d")]

# By name: layers, and the capabilities that are listed, by path.
AGREED = {
    "a hard link with the same capabilities": ([[("/a", NET, "file"), ("/b", NET, "=/a")]], {"/a": NET, "/b": NET}),
    "a hard link to a hard link": (
        [[("/a", NET, "file"), ("/b", NET, "=/a"), ("/c", NET, "=/b")]],
        {"/a": NET, "/b": NET, "/c": NET},
    ),
    "a hard link without capabilities": ([[("/a", None, "file"), ("/b", None, "=/a")], [("/c", NET, "file")]], {"/c": NET}),
    "a hard link to a symbolic link": ([[("/a", NET, "file"), ("/s", None, ">a"), ("/t", None, "=/s")]], {"/a": NET}),
    "a hard link through a symbolic link of its layer": (
        [[("/d", None, "directory"), ("/d/x", NET, "file"), ("/l", None, ">d"), ("/h", NET, "=/l/x")]],
        {"/d/x": NET, "/h": NET},
    ),
    "a hard link below, and its target replaced": (
        [[("/a", NET, "file"), ("/b", NET, "=/a")], [("/a", None, "file")]],
        {"/b": NET},
    ),
    "a hard link below, and its target removed": (
        [[("/a", NET, "file"), ("/b", NET, "=/a")], [("/.wh.a", None, "file")]],
        {"/b": NET},
    ),
    "a file in place of a symbolic link": ([BELOW, [("/l", ADMIN, "file")]], {"/app": NET, "/d/x": NET, "/l": ADMIN}),
    "a directory in place of a symbolic link": ([BELOW, [("/l", None, "directory")]], {"/app": NET, "/d/x": NET}),
    "a file in place of a directory": ([BELOW, [("/d", ADMIN, "file")]], {"/app": NET, "/d": ADMIN}),
    "a directory in place of a file": (
        [BELOW, [("/app", None, "directory"), ("/app/x", ADMIN, "file")]],
        {"/app/x": ADMIN, "/d/x": NET},
    ),
    "a whiteout of a missing file": ([BELOW, [("/d/.wh.y", None, "file"), ("/.wh.z", None, "file")]], {"/app": NET, "/d/x": NET}),
    "a new file through a symbolic link, without capabilities": ([BELOW, [("/l/y", None, "file")]], {"/app": NET, "/d/x": NET}),
    "a file below a file, which replaces it": ([BELOW, [("/app/x", None, "file")]], {"/d/x": NET}),
    "AUFS's own files": (
        [BELOW, [("/.wh..wh.aufs", None, "file"), ("/.wh..wh.orph", None, "directory")]],
        {"/app": NET, "/d/x": NET},
    ),
}
# By name: layers, the capabilities that are listed, and by path the engines with other capabilities.
DIFFERING = {
    "a hard link without the capability record": (
        [[("/a", NET, "file"), ("/b", None, "=/a")]],
        {},
        {path: {NET: PODMAN | {"umoci"}} for path in ("/a", "/b")},
    ),
    "a hard link with other capabilities": (
        [[("/a", NET, "file"), ("/b", ADMIN, "=/a")]],
        {"/a": ADMIN, "/b": ADMIN},
        {path: {NET: {"umoci"}} for path in ("/a", "/b")},
    ),
    "a hard link with capabilities that is replaced": (
        [[("/x", None, "file"), ("/t", ADMIN, "=/x"), ("/t", NET, "file")]],
        {"/t": NET, "/x": ADMIN},
        {"/t": {"refused": DOCKER | PODMAN}, "/x": {"refused": DOCKER | PODMAN, None: {"umoci"}}},
    ),
    "a hard link to a file of a layer below": (
        [[("/x", NET, "file")], [("/d/y", NET, "=/x"), ("/d/.wh..wh..opq", None, "file"), ("/.wh.x", None, "file")]],
        {"/d/y": NET},
        {"/d/y": {"refused": OVERLAYS}},
    ),
    "a file through a symbolic link of a layer below": (
        [BELOW, [("/l/x", ADMIN, "file")]],
        {"/app": NET, "/d/x": NET, "/l/x": ADMIN},
        {"/d/x": {ADMIN: set(ENGINES) - OVERLAYS}, "/l/x": {None: set(ENGINES) - OVERLAYS}},
    ),
    "a whiteout through a symbolic link of a layer below": (
        [BELOW, [("/l/.wh.x", None, "file")]],
        {"/app": NET, "/d/x": NET},
        {"/d/x": {None: set(ENGINES) - OVERLAYS}},
    ),
    "a whiteout after the entry": (
        [BELOW, [("/app", ADMIN, "file"), ("/.wh.app", None, "file")]],
        {"/d/x": NET},
        {"/app": {ADMIN: {"umoci"}, "refused": OVERLAYS}},
    ),
    "a directory after its whiteout": (
        [BELOW, [("/.wh.d", None, "file"), ("/d", None, "directory")]],
        {"/app": NET, "/d/x": NET},
        {"/d/x": {None: set(ENGINES) - OVERLAYS}},
    ),
    "an opaque root": (
        [BELOW, [("/.wh..wh..opq", None, "file")]],
        {"/app": NET, "/d/x": NET},
        {path: {None: set(ENGINES) - OVERLAYS} for path in ("/app", "/d/x")},
    ),
    "an opaque directory with an implied one": (
        [BELOW, [("/d/new/x", ADMIN, "file"), ("/d/.wh..wh..opq", None, "file")]],
        {"/app": NET, "/d/new/x": ADMIN},
        {"/d/new/x": {None: {"containerd native", "docker vfs", "podman vfs"}}},
    ),
    "a path with two entries": (
        [[("/a", NET, "file"), ("/a", ADMIN, "file")]],
        {"/a": ADMIN},
        {"/a": {"refused": DOCKER | PODMAN}},
    ),
}


def _read_image(
    directory: pathlib.Path, layers: Iterable[list[tuple[str, capabilities.FileCapabilities | None, str]]]
) -> image_reader.Image:
    (image,) = image_reader.read_images(str(layout(directory / "image", *(tar(*entries) for entries in layers))))
    return image


@pytest.mark.parametrize("name", AGREED)
def test_no_differences_are_reported_where_engines_agree(tmp_path, name):
    layers, expected = AGREED[name]
    image = _read_image(tmp_path, layers)
    assert (image.capabilities, image.problems, image.differences) == (expected, [], ())


@pytest.mark.parametrize("name", DIFFERING)
def test_differences_are_reported_where_engines_differ(tmp_path, name):
    layers, expected, others = DIFFERING[name]
    image = _read_image(tmp_path, layers)
    assert image.capabilities == expected
    assert image.problems == [str(difference) for difference in image.differences]
    assert [difference.path for difference in image.differences] == sorted(others)
    for difference in image.differences:
        texts = dict.fromkeys(ENGINES, TEXTS[expected.get(difference.path)])
        texts |= {engine: TEXTS[value] for value, engines in others[difference.path].items() for engine in engines}
        assert difference.engines == texts


def test_text_and_json_name_the_engines(tmp_path, capsys):
    image = layout(tmp_path / "image", tar(("/a", NET, "file"), ("/b", None, "=/a")))
    assert cli.main([str(image)]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.splitlines() == [
        f'getcap: {image}: "/{name}": container engines differ: no capabilities in containerd overlayfs, containerd native, '
        "docker overlay2, docker vfs; cap_net_bind_service=p in podman overlay, podman vfs, umoci"
        for name in "ab"
    ]
    assert cli.main(["--json", str(image)]) == 1
    (report,) = json.loads(capsys.readouterr().out)["images"]
    assert [difference["path"] for difference in report["differences"]] == ["/a", "/b"]
    assert report["differences"][0]["engines"]["docker vfs"] is None
    assert report["differences"][0]["engines"]["umoci"] == "cap_net_bind_service=p"


def test_redirects_of_overlayfs_are_reported_if_there_are_lower_layers(tmp_path):
    """A redirect shows a directory of the lower layers at another path."""
    app = Member("app", records={RECORD: NET.to_xattr().decode("latin-1")})
    redirect = Member("e", tarfile.DIRTYPE, records={"SCHILY.xattr.trusted.overlay.redirect": "/d"})
    (image,) = image_reader.read_images(str(oci_layout.write(tmp_path / "image", [app], [redirect])))
    assert image.problems == [
        '"/e": has trusted.overlay.redirect, which overlayfs obeys and Docker and podman keep; remove it from the layer'
    ]
    (image,) = image_reader.read_images(str(oci_layout.write(tmp_path / "without", [redirect])))
    assert image.problems == []


def test_the_opaque_attribute_of_overlayfs_is_a_difference(tmp_path):
    """containerd ignores it, and umoci does not use overlayfs."""
    records = {RECORD: NET.to_xattr().decode("latin-1")}
    lower = [directory("d"), Member("d/x", records=records)]
    opaque = Member("d", tarfile.DIRTYPE, records={"SCHILY.xattr.trusted.overlay.opaque": "y"})
    (image,) = image_reader.read_images(str(oci_layout.write(tmp_path / "image", lower, [opaque])))
    (difference,) = image.differences
    assert {name for name, text in difference.engines.items() if text is None} == {"docker overlay2", "podman overlay"}


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh..."])
def test_whiteouts_without_a_name_are_rejected(tmp_path, name):
    with pytest.raises(InputError, match="is not a valid whiteout"):
        _read_image(tmp_path, [BELOW, [(f"/d/{name}", None, "file")]])


def test_layers_that_every_engine_refuses_are_rejected(tmp_path):
    with pytest.raises(InputError, match='"/a/x": every engine refuses the layer: '):
        _read_image(tmp_path, [[("/a", None, ">b"), ("/b", None, ">a"), ("/a/x", NET, "file")]])
    with pytest.raises(InputError, match='"/b" is a hard link to "/a", which is not a file'):
        _read_image(tmp_path / "2", [[("/b", NET, "=/a")]])
