"""What is not quite an image archive is refused; a tar of files that looks a little like one is a layer."""

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


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _docker(change: Callable[[dict[str, object]], object]) -> archives.Members:
    """A Docker archive with another manifest.json."""
    members = archives.nix(IMAGE)
    item = json.loads(members["manifest.json"])[0]
    changed = change(item)
    return {**members, "manifest.json": changed if isinstance(changed, bytes) else _json(changed)}


def _changed_layer(members: archives.Members, suffix: str) -> archives.Members:
    """Another layer in place of the one whose name ends with `suffix`."""
    layer = tar(("/b", NET, "file"))
    other = gzip.compress(layer) if suffix.endswith("gz") else layer
    return {name: other if name.endswith(suffix) else data for name, data in members.items()}


INDEX = archives.buildkit(IMAGE)
BOTH = archives.docker_25(IMAGE)
REFUSED: dict[str, tuple[archives.Members, str]] = {
    "manifest.json too large": (
        _docker(lambda item: _json([item]) + b" " * limits.JSON),
        "more than 4194304 are not read (limit JSON)",
    ),
    "only white space for 4 MiB": (
        _docker(lambda item: b" " * limits.JSON + _json([item])),
        "more than 4194304 are not read (limit JSON)",
    ),
    "something after manifest.json": (_docker(lambda item: _json([item]) + b"x"), "its manifest.json is not JSON"),
    "no config": (_docker(lambda item: [{**item, "Config": "c.json"}]), 'has no config "c.json"'),
    "no layer": (_docker(lambda item: [{**item, "Layers": ["l.tar"]}]), 'has no layer "l.tar"'),
    "too few layers": (_docker(lambda item: [{**item, "Layers": []}]), "does not have the diff_ids of 0 layers"),
    "keys in another case": (_docker(lambda item: [{key.lower(): value for key, value in item.items()}]), 'has the key "config"'),
    "a key twice": (_docker(lambda item: _json([item])[:-2] + b',"Layers":[]}]'), 'has the key "Layers" twice'),
    "half a character": (_docker(lambda item: [{**item, "Layers": ["\ud800"]}]), "half of a surrogate pair"),
    "a name that leads out": (_docker(lambda item: [{**item, "Config": "../c.json"}]), '"../c.json"'),
    "another layer": (_changed_layer(archives.nix(IMAGE), "layer.tar"), "and its config has the diff_id"),
    "another compressed layer": (_changed_layer(archives.crane(IMAGE), ".tar.gz"), "and its config has the diff_id"),
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
    "another version": ({**INDEX, "oci-layout": b'{"imageLayoutVersion":"2.0.0"}'}, 'imageLayoutVersion "2.0.0"'),
    "no version": ({**BOTH, "oci-layout": b"{}"}, "only version 1.0.0 is read"),
    "only a version": ({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}, "has neither index.json nor manifest.json"),
    "Docker before 1.10": (
        {name: data for name, data in archives.docker_1_10(IMAGE).items() if not name.endswith(".json")},
        "it is an archive of Docker before 1.10",
    ),
    "links that go round": ({**archives.nix(IMAGE), "manifest.json": "m.json", "m.json": "manifest.json"}, "links that go round"),
    "manifest.json with null": (_docker(lambda item: [None]), "its manifest.json is not a list of images"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_quite_an_archive_is_refused(tmp_path: pathlib.Path, name: str):
    members, expected = REFUSED[name]
    path = archives.write(tmp_path / "archive", members)
    if name != "manifest.json with null":  # No engine takes it, and it names no layer.
        with pytest.raises(InputError) as refused:
            image_reader.read_images(str(path))
        (text,) = refused.value.problems
        assert text.startswith(f'image: "{path}": ') and expected in text
        assert "taken for an image archive, because" in text or "blobs/" in text
    if name == "an index without its manifest":
        return  # A base may lack images for other platforms.
    status, said = packer.run_here(["unpack", "--target=//x", f"--output={tmp_path}/layout", f"--archive={path}"])
    assert status == 1 and said.startswith(f'//x: base: "{path}": ') and expected in said and said.count("\n") == 1
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
    path = archives.write(tmp_path / "layer.tar", FILES[name])
    # The entry of a file with capabilities, before them.
    path.write_bytes(TAR[: TAR.index(bytes(1024))].ljust(1536, b"\0") + path.read_bytes())
    (read,) = image_reader.read_images(str(path))
    assert read.capabilities == {"/a": NET} and read.platform == ""


@pytest.mark.parametrize("name", ["archive first", "layer first"])
def test_a_tar_that_is_both_is_refused(tmp_path: pathlib.Path, name: str):
    """`docker load` would take it for an archive, `docker import` for a layer."""
    archive = archives.write(tmp_path / "archive", archives.nix(OTHER)).read_bytes()
    entry = TAR[:1536]
    end = archive.rstrip(b"\0")
    end += bytes(-len(end) % 512)
    path = tmp_path / "both.tar"
    path.write_bytes(entry + archive if name == "layer first" else end + entry + bytes(1024))
    with pytest.raises(InputError, match='"/a" has file capabilities, and no member of an image archive has'):
        image_reader.read_images(str(path))
    status, said = packer.run_here(["unpack", "--target=//x", f"--output={tmp_path}/layout", f"--archive={path}"])
    assert status == 1 and "has file capabilities" in said


def test_members_that_are_links(tmp_path: pathlib.Path):
    """Docker and podman follow links, of manifest.json too."""
    members = archives.nix(IMAGE)
    (layer,) = (name for name in members if name.endswith("layer.tar"))
    linked = {
        **members,
        "m/docker.json": members["manifest.json"],
        "manifest.json": "m/docker.json",
        "l.tar": members[layer],
        layer: "../l.tar",
    }
    (read,) = image_reader.read_images(str(archives.write(tmp_path / "archive", linked)))
    assert read.capabilities == {"/a": NET}
    path = tmp_path / "hard"
    with tarfile.open(path, "w") as archive:
        for name, data in {"l.tar": members[layer], **members, layer: "l.tar"}.items():
            entry = tarfile.TarInfo(name)
            if isinstance(data, str):
                entry.type, entry.linkname = tarfile.LNKTYPE, data
            else:
                entry.size = len(data)
            archive.addfile(entry, None if isinstance(data, str) else io.BytesIO(data))
    (read,) = image_reader.read_images(str(path))
    assert read.capabilities == {"/a": NET}


def test_an_index_of_platforms_beside_manifest_json(tmp_path: pathlib.Path):
    """As Docker with the containerd image store saves an image: manifest.json has one platform, and the index has attestations."""
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
    attestation = _json(
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
    inner = _json({"schemaVersion": 2, "manifests": [*entries, absent]})
    index = {"schemaVersion": 2, "manifests": [archives.descriptor("application/vnd.oci.image.index.v1+json", inner)]}
    more = {f"blobs/sha256/{archives.digest(data)[7:]}": data for data in (inner, attestation, b"{}")}
    path = archives.write(tmp_path / "archive", {**BOTH, **blobs, **more, "index.json": _json(index)})
    passed_over: list[image_documents.NonImage] = []
    found = image_reader.read_images(str(path), non_images=passed_over)
    assert [(image.platform, sorted(image.capabilities)) for image in found] == [
        ("linux/amd64", ["/a"]),
        ("linux/arm64", ["/arm"]),
    ]
    assert [other.digest for other in passed_over] == [archives.digest(attestation)]


def test_the_same_member_twice(tmp_path: pathlib.Path):
    """Some writers repeat what images share; with other bytes readers would differ."""
    members = archives.nix(IMAGE)
    (read,) = image_reader.read_images(str(archives.write(tmp_path / "archive", [*members.items(), *members.items()])))
    assert read.capabilities == {"/a": NET}
    with pytest.raises(InputError, match="twice"):
        image_reader.read_images(str(archives.write(tmp_path / "archive", [*members.items(), *archives.nix(OTHER).items()])))


def _replace(path: pathlib.Path, make: Callable[[pathlib.Path], object]) -> None:
    path.unlink()
    make(path)


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to("/dev/tty")]
)
@pytest.mark.parametrize("number", range(4))
def test_only_regular_files_are_opened(tmp_path: pathlib.Path, make: Callable[[pathlib.Path], object], number: int):
    """index.json, manifest, config, layer."""
    image = layout(tmp_path / "layout", TAR)
    paths = [image / "index.json", *sorted(path for path in (image / "blobs/sha256").iterdir())]
    _replace(paths[number], make)
    with pytest.raises(InputError, match="not a regular file|Is a directory"):
        image_reader.read_images(str(image))
    status, said = packer.run_here(["unpack", "--target=//x", f"--output={tmp_path}/copy", f"--archive={image}"])
    assert status == 1 and ("not a regular file" in said or "Is a directory" in said or "without index.json" in said)


def test_links_to_blobs_are_followed(tmp_path: pathlib.Path):
    """The layouts that Bazel makes have them."""
    image = layout(tmp_path / "layout", TAR)
    for number, path in enumerate([image / "index.json", *(image / "blobs/sha256").iterdir()]):
        path.rename(tmp_path / str(number))
        path.symlink_to(tmp_path / str(number))
    (read,) = image_reader.read_images(str(image))
    assert read.capabilities == {"/a": NET}
