"""A damaged image archive is refused, and a tar of files with similar names is read as a layer."""

from __future__ import annotations

import gzip
import io
import json
import os
import pathlib
import tarfile
from collections.abc import Callable

import pytest

from rules_setcap import capabilities
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import image_documents, image_reader
from support import archives, packer
from support.image import layout, tar

NET = capabilities.from_text("cap_net_bind_service=p")
TAR = tar(("/a", NET, "file"))
IMAGE = archives.image(TAR)
OTHER = archives.image(tar(("/b", None, "file")))


def _encode(value: object) -> bytes:
    return json.dumps(value).encode()


def _change_docker_manifest(change: Callable[[dict[str, object]], object]) -> archives.Members:
    """Returns a Docker archive whose manifest.json is changed.

    Args:
      change: gets the image in manifest.json; returns the new manifest.json, bytes or a value.
    """
    members = archives.nix(IMAGE)
    item = json.loads(members["manifest.json"])[0]
    manifest = change(item)
    return {**members, "manifest.json": manifest if isinstance(manifest, bytes) else _encode(manifest)}


def _replace_layer(members: archives.Members, suffix: str) -> archives.Members:
    """Returns an archive with another layer in place of the one whose name ends with `suffix`."""
    layer = tar(("/b", NET, "file"))
    other = gzip.compress(layer) if suffix.endswith("gz") else layer
    return {name: other if name.endswith(suffix) else data for name, data in members.items()}


INDEX = archives.buildkit(IMAGE)
BOTH = archives.docker_25(IMAGE)
REFUSED: dict[str, tuple[archives.Members, str]] = {
    "manifest.json too large": (
        _change_docker_manifest(lambda item: _encode([item]) + b" " * limits.JSON),
        "more than 4194304 are not read (limit JSON)",
    ),
    "only white space for 4 MiB": (
        _change_docker_manifest(lambda item: b" " * limits.JSON + _encode([item])),
        "more than 4194304 are not read (limit JSON)",
    ),
    "something after manifest.json": (
        _change_docker_manifest(lambda item: _encode([item]) + b"x"),
        "its manifest.json is not JSON",
    ),
    "no config": (_change_docker_manifest(lambda item: [{**item, "Config": "c.json"}]), 'has no config "c.json"'),
    "no layer": (_change_docker_manifest(lambda item: [{**item, "Layers": ["l.tar"]}]), 'has no layer "l.tar"'),
    "too few layers": (_change_docker_manifest(lambda item: [{**item, "Layers": []}]), "does not have the diff_ids of 0 layers"),
    "keys in another case": (
        _change_docker_manifest(lambda item: [{key.lower(): value for key, value in item.items()}]),
        'has the key "config"',
    ),
    "a key twice": (_change_docker_manifest(lambda item: _encode([item])[:-2] + b',"Layers":[]}]'), 'has the key "Layers" twice'),
    "half a character": (_change_docker_manifest(lambda item: [{**item, "Layers": ["\ud800"]}]), "half of a surrogate pair"),
    "a name that leads out": (_change_docker_manifest(lambda item: [{**item, "Config": "../c.json"}]), '"../c.json"'),
    "another layer": (_replace_layer(archives.nix(IMAGE), "layer.tar"), "its diff_id in the image's config is"),
    "another compressed layer": (_replace_layer(archives.crane(IMAGE), ".tar.gz"), "its diff_id in the image's config is"),
    "a blob of another digest": (
        {**INDEX, next(name for name in INDEX if "blobs" in name): b"{}"},
        "has digest sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    ),
    "an index that names another image": ({**archives.buildkit(OTHER), **archives.nix(IMAGE)}, "and index.json does not have it"),
    "an index of nothing": ({**INDEX, "index.json": b'{"manifests":[]}'}, "its index.json names no image"),
    "an index that cannot be read": ({**INDEX, "index.json": b'{"manifests":'}, "its index.json is not JSON"),
    "an index in another case": (
        {**INDEX, "index.json": bytes(INDEX["index.json"]).replace(b"manifests", b"Manifests")},
        'has the key "Manifests"',
    ),
    "an index that is a link to nothing": ({**INDEX, "index.json": "i.json"}, "has neither index.json nor manifest.json"),
    "an index without its manifest": (
        {name: data for name, data in INDEX.items() if b"layers" not in data or b"rootfs" in data},
        "cannot be read",
    ),
    "an index of a layout without its manifest": (
        {**archives.apko(IMAGE), "oci-layout": b'{"imageLayoutVersion":"1.0.0"}'},
        "cannot be read",
    ),
    "an index beside a blob, without its manifest": ({**archives.apko(IMAGE), "blobs/sha256/other": b""}, "cannot be read"),
    "another version": ({**INDEX, "oci-layout": b'{"imageLayoutVersion":"2.0.0"}'}, 'imageLayoutVersion "2.0.0"'),
    "no version": ({**BOTH, "oci-layout": b"{}"}, "only version 1.0.0 is read"),
    "only a version": ({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}, "has neither index.json nor manifest.json"),
    "Docker before 1.10": (
        {name: data for name, data in archives.docker_1_10(IMAGE).items() if not name.endswith(".json")},
        "it is an archive of Docker before 1.10",
    ),
    "links that go round": ({**archives.nix(IMAGE), "manifest.json": "m.json", "m.json": "manifest.json"}, "links that go round"),
    "manifest.json with null": (_change_docker_manifest(lambda item: [None]), "its manifest.json is not a list of images"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_damaged_archive_is_refused(tmp_path: pathlib.Path, name: str):
    members, expected = REFUSED[name]
    path = archives.write_archive(tmp_path / "archive", members)
    if name != "manifest.json with null":  # No engine accepts it, and it names no layer, so getcap reads it as a tar of files.
        with pytest.raises(InputError) as refused:
            image_reader.read_images(str(path))
        (text,) = refused.value.problems
        assert text.startswith(f'image: "{path}": ') and expected in text
        assert "taken for an image archive, because" in text or "blobs/" in text or ": layer sha256:" in text
    if name.endswith("without its manifest"):
        return  # A base may lack images for other platforms.
    status, output = packer.run_here(["unpack", "--target=//x", f"--output={tmp_path}/layout", f"--archive={path}"])
    assert status == 1 and output.startswith(f'//x: base: "{path}": ') and expected in output and output.count("\n") == 1
    assert not (tmp_path / "layout").exists()


FILES: dict[str, archives.Members] = {
    "a web application": {"manifest.json": b'{"name":"app","icons":[]}', "index.json": b'{"version":1}'},
    "a large manifest of a web application": {"manifest.json": b'{"name":"' + b"x" * limits.JSON + b'"}'},
    "a list of files": {"manifest.json": b'["a.js","b.js"]'},
    "a large index": {"index.json": b'{"name":"' + b"x" * limits.JSON + b'"}'},
    "in a directory": {f"srv/{name}": data for name, data in BOTH.items()},
    "blobs of something else": {"blobs/sha256/x": b"x", "repositories": b"deb x", "index.json": b"[]"},
    "text": {"manifest.json": b"text", "index.json": b""},
}


@pytest.mark.parametrize("name", FILES)
def test_a_tar_of_files_is_a_layer(tmp_path: pathlib.Path, name: str):
    path = archives.write_archive(tmp_path / "layer.tar", FILES[name])
    # An entry of a file with capabilities comes first.
    path.write_bytes(TAR[: TAR.index(bytes(1024))].ljust(1536, b"\0") + path.read_bytes())
    (image,) = image_reader.read_images(str(path))
    assert image.capabilities == {"/a": NET} and image.platform == ""


@pytest.mark.parametrize("name", ["archive first", "layer first"])
def test_a_tar_that_is_both_is_refused(tmp_path: pathlib.Path, name: str):
    """`docker load` would read it as an archive, `docker import` as a layer."""
    archive = archives.write_archive(tmp_path / "archive", archives.nix(OTHER)).read_bytes()
    entry = TAR[:1536]
    end = archive.rstrip(b"\0")
    end += bytes(-len(end) % 512)
    path = tmp_path / "both.tar"
    path.write_bytes(entry + archive if name == "layer first" else end + entry + bytes(1024))
    with pytest.raises(InputError, match='"/a" has file capabilities, and no member of an image archive has'):
        image_reader.read_images(str(path))
    status, output = packer.run_here(["unpack", "--target=//x", f"--output={tmp_path}/layout", f"--archive={path}"])
    assert status == 1 and "has file capabilities" in output


def test_members_can_be_links(tmp_path: pathlib.Path):
    """Docker and podman follow links, also if manifest.json is one."""
    members = archives.nix(IMAGE)
    (layer,) = (name for name in members if name.endswith("layer.tar"))
    linked = {
        **members,
        "m/docker.json": members["manifest.json"],
        "manifest.json": "m/docker.json",
        "l.tar": members[layer],
        layer: "../l.tar",
    }
    (image,) = image_reader.read_images(str(archives.write_archive(tmp_path / "archive", linked)))
    assert image.capabilities == {"/a": NET}
    path = tmp_path / "hard"
    with tarfile.open(path, "w") as archive:
        for name, data in {"l.tar": members[layer], **members, layer: "l.tar"}.items():
            entry = tarfile.TarInfo(name)
            if isinstance(data, str):
                entry.type, entry.linkname = tarfile.LNKTYPE, data
            else:
                entry.size = len(data)
            archive.addfile(entry, None if isinstance(data, str) else io.BytesIO(data))
    (image,) = image_reader.read_images(str(path))
    assert image.capabilities == {"/a": NET}


def test_an_index_can_have_more_platforms(tmp_path: pathlib.Path):
    """Docker with the containerd image store writes such archives. Their index also has attestations."""
    arm = archives.image(tar(("/arm", NET, "file")), architecture="arm64")
    blobs: dict[str, bytes] = {}
    entries = []
    for image in (IMAGE, arm):
        for name, data in archives.buildkit(image).items():
            if name.startswith("blobs/"):
                blobs[name] = bytes(data)
        (entry,) = json.loads(archives.buildkit(image)["index.json"])["manifests"]
        platform = {key: json.loads(image.config)[key] for key in ("os", "architecture")}
        entries.append({**entry, "platform": platform})
    attestation = _encode(
        {
            "schemaVersion": 2,
            "mediaType": archives.MANIFEST,
            "config": archives.descriptor(archives.CONFIG, b"{}"),
            "layers": [archives.descriptor("application/vnd.in-toto+json", b"{}")],
        }
    )
    unknown = {"os": "unknown", "architecture": "unknown"}
    entries.append(archives.descriptor(archives.MANIFEST, attestation, platform=unknown))
    absent = archives.descriptor(archives.MANIFEST, b"absent", platform={"os": "linux", "architecture": "s390x"})
    inner = _encode({"schemaVersion": 2, "manifests": [*entries, absent]})
    index = {"schemaVersion": 2, "manifests": [archives.descriptor("application/vnd.oci.image.index.v1+json", inner)]}
    documents = {f"blobs/sha256/{archives.digest(data)[7:]}": data for data in (inner, attestation, b"{}")}
    path = archives.write_archive(tmp_path / "archive", {**BOTH, **blobs, **documents, "index.json": _encode(index)})
    non_images: list[image_documents.NonImage] = []
    images = image_reader.read_images(str(path), non_images=non_images)
    assert [(image.platform, sorted(image.capabilities)) for image in images] == [
        ("linux/amd64", ["/a"]),
        ("linux/arm64", ["/arm"]),
    ]
    assert [entry.digest for entry in non_images] == [archives.digest(attestation)]


def test_a_member_can_be_repeated_with_the_same_bytes(tmp_path: pathlib.Path):
    """Some writers repeat the files that images share. If the bytes differ, readers differ in which of them they use."""
    members = archives.nix(IMAGE)
    (image,) = image_reader.read_images(str(archives.write_archive(tmp_path / "archive", [*members.items(), *members.items()])))
    assert image.capabilities == {"/a": NET}
    with pytest.raises(InputError, match="twice"):
        image_reader.read_images(
            str(archives.write_archive(tmp_path / "archive", [*members.items(), *archives.nix(OTHER).items()]))
        )


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to("/dev/tty")]
)
@pytest.mark.parametrize("number", range(4))
def test_only_regular_files_are_opened(tmp_path: pathlib.Path, make: Callable[[pathlib.Path], object], number: int):
    """The files are index.json, the manifest, the config and the layer."""
    image = layout(tmp_path / "layout", TAR)
    paths = [image / "index.json", *sorted(path for path in (image / "blobs/sha256").iterdir())]
    paths[number].unlink()
    make(paths[number])
    with pytest.raises(InputError, match=r"not a regular file|Is a directory"):
        image_reader.read_images(str(image))
    status, output = packer.run_here(["unpack", "--target=//x", f"--output={tmp_path}/copy", f"--archive={image}"])
    assert status == 1 and ("not a regular file" in output or "Is a directory" in output or "without index.json" in output)


def test_blobs_can_be_links(tmp_path: pathlib.Path):
    """The layouts that Bazel writes have links."""
    image = layout(tmp_path / "layout", TAR)
    for number, path in enumerate([image / "index.json", *(image / "blobs/sha256").iterdir()]):
        path.rename(tmp_path / str(number))
        path.symlink_to(tmp_path / str(number))
    (image,) = image_reader.read_images(str(image))
    assert image.capabilities == {"/a": NET}
