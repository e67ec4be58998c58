"""`imagecap set` reads and writes each kind of image, and reports what is wrong without writing anything."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import pathlib
import signal
import subprocess
import sys
import tarfile
import time

import pytest
from layouts import ELF, INDEX, LAYER, Layout, program_layer, read_blob, read_index
from running import run_imagecap, set_capabilities

from rules_setcap.capabilities import from_text
from rules_setcap.oci import image_reader
from support import archives, require, saved
from support.image import tar

NET = from_text("cap_net_bind_service=ep")
LOWER = tar(
    ("/bin", None, ">usr/bin"),
    ("/usr/bin", None, "directory"),
    ("/usr/bin/nginx", None, ELF),
    ("/usr/bin/alias", None, "=/usr/bin/nginx"),
    ("/usr/bin/link", None, ">nginx"),
    ("/usr/bin/script", None, b"#!/bin/sh\n"),
    ("/usr/bin/data", None, b"data", {"mode": 0o644}),
    ("/usr/bin/text", None, b"text"),
)
UPPER = tar(("/usr/bin/ping", NET, ELF + b"ping"))
WAYS = {"layer": ["--layer", "--compression=zlib"], "rewrite": ["--rewrite"]}
GRANT = "/usr/bin/nginx=cap_net_bind_service=ep"


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
    """An OCI layout with one image."""
    layout = Layout(tmp_path / "image")
    return layout.write_index(layout.put_image(LOWER, UPPER))


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> list[str]:
    """The flags of each way."""
    return WAYS[request.param]


def _read(path: pathlib.Path, platform: str = "") -> dict[str, str]:
    """Returns the capabilities of the only image."""
    (image,) = image_reader.read_images(str(path), platform)
    assert image.problems == []
    return {name: value.to_text() for name, value in image.capabilities.items()}


def _list_members(path: pathlib.Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {
            member.name: file.read() if (file := archive.extractfile(member)) else b"" for member in archive if member.isfile()
        }


# Kinds of images.


@pytest.mark.parametrize("writer", archives.WRITERS)
def test_an_archive_of_each_writer_is_changed_to_one_of_the_same_kind(tmp_path, writer, way):
    made = archives.image(LOWER, UPPER)
    before = archives.write_archive(tmp_path / "before.tar", archives.WRITERS[writer](made))
    set_capabilities(*way, before, tmp_path / "after.tar", GRANT)
    assert _read(tmp_path / "after.tar")["/usr/bin/nginx"] == "cap_net_bind_service=ep"
    old, new = _list_members(before), _list_members(tmp_path / "after.tar")
    # The index.json of "docker save ID" is empty, and that of apko is beside no layout.
    has_manifests = "oci-layout" in old and bool(json.loads(old["index.json"]).get("manifests"))
    assert (has_manifests, "manifest.json" in old) == ("index.json" in new, "manifest.json" in new)
    if "manifest.json" in old:
        (old_item,), (new_item,) = (json.loads(members["manifest.json"]) for members in (old, new))
        assert new_item["RepoTags"] == old_item["RepoTags"]
        config = json.loads(new[new_item["Config"]])
        layers = [new[name] for name in new_item["Layers"]]
        unpacked = [gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer for layer in layers]
        assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in unpacked]


COMPRESSIONS = {"gzip": gzip, "xz": lzma, "bzip2": bz2}


@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_a_compressed_archive_stays_compressed(tmp_path, codec):
    module = COMPRESSIONS[codec]
    path = archives.write_archive(tmp_path / "archive", archives.WRITERS["docker 25"](archives.image(LOWER, UPPER)))
    path.write_bytes(module.compress(path.read_bytes()))
    set_capabilities("--rewrite", path, tmp_path / "new", GRANT)
    assert "/usr/bin/nginx" in _read(tmp_path / "new")
    (tmp_path / "plain").write_bytes(module.decompress((tmp_path / "new").read_bytes()))
    assert "manifest.json" in _list_members(tmp_path / "plain")
    # The archive of an archive that is not compressed is the same.
    set_capabilities("--rewrite", "--format=docker-archive", path, tmp_path / "other", GRANT)
    assert (tmp_path / "other").read_bytes() == (tmp_path / "plain").read_bytes()


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
@pytest.mark.parametrize("source", ["layout", "docker 25", "docker 1.10"])
def test_each_kind_can_become_each_other(tmp_path, image, source, kind):
    path = image
    if source != "layout":
        path = archives.write_archive(tmp_path / "archive", archives.WRITERS[source](archives.image(LOWER, UPPER)))
    report = set_capabilities("--rewrite", f"--format={kind}", path, tmp_path / "new", GRANT)
    assert report["format"] == kind
    assert (tmp_path / "new").is_dir() == (kind == "oci")
    assert _read(tmp_path / "new") == {
        "/usr/bin/nginx": "cap_net_bind_service=ep",
        "/usr/bin/alias": "cap_net_bind_service=ep",
        "/usr/bin/ping": "cap_net_bind_service=ep",
    }
    if kind == "oci-archive":
        assert set(_list_members(tmp_path / "new")) >= {"index.json", "oci-layout"}
    if kind == "oci" and source == "docker 1.10":
        assert read_index(tmp_path / "new")[0]["annotations"]["io.containerd.image.name"] == "docker.io/library/app:1"


def test_it_works_in_a_pipe(tmp_path, image):
    archive = archives.write_archive(tmp_path / "in.tar", archives.WRITERS["docker 25"](archives.image(LOWER, UPPER)))
    command = [sys.executable, "-m", "rules_setcap.imagecap", "set", "--rewrite", "-", "-", GRANT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, input=archive.read_bytes(), capture_output=True, env=environment, check=True)
    (tmp_path / "out.tar").write_bytes(done.stdout)
    assert "/usr/bin/nginx" in _read(tmp_path / "out.tar")
    assert b"/usr/bin/nginx none -> cap_net_bind_service=ep" in done.stderr
    # The same bytes go to a file.
    set_capabilities("--rewrite", archive, tmp_path / "file.tar", GRANT)
    assert (tmp_path / "file.tar").read_bytes() == done.stdout


# Files.


def test_links_are_followed_as_engines_do(tmp_path, image, way):
    set_capabilities(*way, image, tmp_path / "new", "/bin/nginx=bpf")
    expected = {"/usr/bin/nginx": "cap_bpf=p", "/usr/bin/ping": "cap_net_bind_service=ep"}
    if way == WAYS["rewrite"]:  # In a new layer, only the named file is copied.
        expected["/usr/bin/alias"] = "cap_bpf=p"
    assert _read(tmp_path / "new") == expected


def test_capabilities_are_taken_away(tmp_path, image, way):
    set_capabilities(*way, image, tmp_path / "one", "/usr/bin/ping=")
    assert _read(tmp_path / "one") == {}
    set_capabilities(*way, "--strip", image, tmp_path / "all")
    assert _read(tmp_path / "all") == {}
    set_capabilities(*way, "--only", image, tmp_path / "only", "/usr/bin/nginx=bpf")
    assert set(_read(tmp_path / "only").values()) == {"cap_bpf=p"}


def test_capabilities_are_taken_away_from_files_that_cannot_have_them(tmp_path, way):
    layout = Layout(tmp_path / "image")
    files = [("/script", NET, b"#!/bin/sh\n"), ("/text", NET, b"text"), ("/data", NET, ELF, {"mode": 0o644})]
    image = layout.write_index(layout.put_image(tar(*files)))
    set_capabilities(*way, image, tmp_path / "one", "/script=", "/text=", "/data=")
    assert _read(tmp_path / "one") == {}
    set_capabilities(*way, "--strip", image, tmp_path / "all")
    assert _read(tmp_path / "all") == {}


def test_an_invalid_attribute_is_removed_where_it_is(tmp_path):
    layout = Layout(tmp_path / "image")
    image = layout.write_index(layout.put_image(tar(("/bad", b"x", ELF), ("/good", None, ELF))))
    done = run_imagecap("set", "--compression=zlib", image, tmp_path / "new", "/good=bpf")
    what = "has an invalid security.capability attribute, so that engines do not unpack its layer; write --rewrite and"
    assert (done.status, done.stderr) == (2, f'imagecap: file: "/bad": {what} "/bad="\n')
    set_capabilities("--rewrite", image, tmp_path / "new", "/bad=", "/good=bpf")
    assert _read(tmp_path / "new") == {"/good": "cap_bpf=p"}


def test_an_image_without_capabilities_stays_as_it_is_when_it_is_stripped(tmp_path, way):
    layout = Layout(tmp_path / "image")
    image = layout.write_index(layout.put_image(LOWER))
    report = set_capabilities(*way, "--strip", image, tmp_path / "new")
    assert report["images"][0]["before"] == report["images"][0]["after"]
    for path in image.rglob("*"):
        if path.is_file():
            assert (tmp_path / "new" / path.relative_to(image)).read_bytes() == path.read_bytes()


PROBLEMS = {
    "/usr/bin/ngin=bpf": 'file: "/usr/bin/ngin": no file of the image has this path; did you mean "/usr/bin/nginx"?',
    "/usr/bin/link=bpf": 'file: "/usr/bin/link": a symbolic link; the kernel looks at the file it leads to: name "/usr/bin/nginx"',
    "/usr/bin/script=bpf": 'file: "/usr/bin/script": a script; the kernel ignores its capabilities',
    "/usr/bin/data=bpf": 'file: "/usr/bin/data": mode 0644 has no execute bit',
    "/usr/bin/text=bpf": 'file: "/usr/bin/text": not an ELF program; the kernel ignores its capabilities',
    "/usr/bin=bpf": 'file: "/usr/bin": a directory; capabilities are for programs',
    "/usr/bin/nginx=net_bind_servce": 'file: "/usr/bin/nginx": "net_bind_servce": unknown capability; did you mean',
    "/usr/bin/nginx=cap_bpf=ep cap_chown=p": 'file: "/usr/bin/nginx": "cap_bpf=ep cap_chown+p": effective for some capabilities only',
    "usr/bin/nginx=bpf": 'file: "usr/bin/nginx": must be absolute; write "/usr/bin/nginx"',
    "/usr/bin/nginx": 'file: "/usr/bin/nginx": must be an absolute path, =, and capability text',
    "/usr/bin/../bin/nginx=bpf": 'must not have "//", "/./" or "/../"',
}


@pytest.mark.parametrize("argument", PROBLEMS)
def test_what_cannot_be_set_is_reported_and_nothing_is_written(tmp_path, image, way, argument):
    before = sorted(os.listdir(tmp_path))
    done = run_imagecap("set", *way, image, tmp_path / "new", argument)
    assert (done.status, done.stdout) == (2, "")
    assert PROBLEMS[argument] in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == before


def test_all_problems_are_reported_at_once(tmp_path, image, way):
    done = run_imagecap("set", *way, image, tmp_path / "new", "/usr/bin/ngin=bpf", "/usr/bin/link=bpf", "/x=bpf")
    assert done.status == 2
    assert [line.split('"')[1] for line in done.stderr.splitlines()] == ["/usr/bin/ngin", "/usr/bin/link", "/x"]


def test_a_file_is_not_set_twice(tmp_path, image, way):
    for first in ("bpf", ""):
        done = run_imagecap("set", *way, image, tmp_path / "new", f"/bin/nginx={first}", "/usr/bin/nginx=perfmon")
        what = 'file: "/usr/bin/nginx": the same file as "/usr/bin/nginx", which has capabilities already; keep one'
        assert (done.status, done.stderr) == (2, f"imagecap: {what}\n")


# The output.


def test_an_output_that_exists_is_kept_without_force(tmp_path, image):
    (tmp_path / "file").write_text("kept")
    done = run_imagecap("set", "--rewrite", "--format=oci-archive", image, tmp_path / "file", GRANT)
    assert (done.status, done.stdout) == (2, "")
    assert "exists already; write --force to replace it, or another path" in done.stderr
    assert (tmp_path / "file").read_text() == "kept"


def test_force_replaces_archives_and_layouts_only(tmp_path, image):
    (tmp_path / "file").write_text("replaced")
    set_capabilities("--rewrite", "--force", "--format=oci-archive", image, tmp_path / "file", GRANT)
    assert "/usr/bin/nginx" in _read(tmp_path / "file")
    set_capabilities("--rewrite", "--force", image, image, GRANT)
    assert "/usr/bin/nginx" in _read(image)
    assert sorted(os.listdir(tmp_path)) == ["file", "image"]
    (tmp_path / "home").mkdir()
    (tmp_path / "home/diary").write_text("kept")
    for directory in (tmp_path / "home", tmp_path):
        done = run_imagecap("set", "--rewrite", "--force", image, directory, GRANT)
        assert "is not an OCI layout directory, so that --force does not replace it" in done.stderr
    assert (tmp_path / "home/diary").read_text() == "kept"


def test_an_output_that_cannot_be_is_refused_before_anything_is_read(tmp_path, image):
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("target")
    for output, flags, message in [
        ("none/new", [], "its parent directory does not exist; make it first"),
        ("fifo", ["--force"], "is not a regular file; write another path, or - for standard output"),
        ("directory", ["--force", "--format=oci-archive"], "is a directory, and the new image is an archive; write another path"),
    ]:
        done = run_imagecap("set", "--rewrite", *flags, image, tmp_path / output, GRANT)
        assert (done.status, done.stderr) == (2, f'imagecap: output: "{tmp_path / output}": {message}\n')
    # A slash at the end, and a link that leads nowhere yet.
    set_capabilities("--rewrite", image, f"{tmp_path}/new/", GRANT)
    set_capabilities("--rewrite", image, tmp_path / "link", GRANT)
    assert "/usr/bin/nginx" in _read(tmp_path / "new")
    assert "/usr/bin/nginx" in _read(tmp_path / "target")


def test_a_layer_is_not_taken_for_an_image(tmp_path):
    (tmp_path / "layer.tar").write_bytes(LOWER)
    done = run_imagecap("set", "--rewrite", tmp_path / "layer.tar", tmp_path / "new.tar", GRANT)
    assert done.stderr.endswith(
        "has neither index.json nor manifest.json; give an OCI layout directory, an OCI archive, or an archive as docker save writes it\n"
    )


def test_an_output_within_the_input_is_refused(tmp_path, image):
    done = run_imagecap("set", "--rewrite", image, image / "blobs/new", GRANT)
    assert "is within the image that is read" in done.stderr


def test_the_output_has_the_permissions_of_new_files(tmp_path, image):
    old = os.umask(0o027)
    try:
        set_capabilities("--rewrite", image, tmp_path / "new", GRANT)
        set_capabilities("--rewrite", "--format=oci-archive", image, tmp_path / "new.tar", GRANT)
    finally:
        os.umask(old)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "new.tar").stat().st_mode & 0o777 == 0o640


# Indexes.


@pytest.fixture
def index(tmp_path: pathlib.Path) -> tuple[pathlib.Path, dict[str, str]]:
    """A layout with an index of two platforms, an attestation of one of them and a signature; and the digests of these."""
    layout = Layout(tmp_path / "index")
    amd64 = layout.put_image(LOWER, UPPER)
    arm64 = layout.put_image(LOWER, architecture="arm64")
    empty = layout.put(b"{}", "application/vnd.oci.empty.v1+json")
    statement = layout.put(b"statement", "application/vnd.in-toto+json")
    attestation = layout.put(
        {"schemaVersion": 2, "config": empty, "layers": [statement], "artifactType": "application/vnd.in-toto+json"},
        "application/vnd.oci.image.manifest.v1+json",
        annotations={"vnd.docker.reference.digest": amd64["digest"], "vnd.docker.reference.type": "attestation-manifest"},
    )
    nested = layout.put({"schemaVersion": 2, "mediaType": INDEX, "manifests": [amd64, arm64, attestation]}, INDEX)
    signature = layout.put(
        {"schemaVersion": 2, "config": empty, "layers": [statement], "subject": nested},
        "application/vnd.oci.image.manifest.v1+json",
    )
    tagged = {**nested, "annotations": {"org.opencontainers.image.ref.name": "v1"}}
    names = {"amd64": amd64, "arm64": arm64, "attestation": attestation, "signature": signature, "nested": nested}
    return layout.write_index(tagged, signature), {name: entry["digest"] for name, entry in names.items()}


def test_all_platforms_of_an_index_are_changed(tmp_path, index, way):
    report = set_capabilities(*way, index[0], tmp_path / "new", GRANT)
    assert [image["platform"] for image in report["images"]] == ["linux/amd64", "linux/arm64"]
    for platform in ("linux/amd64", "linux/arm64"):
        assert _read(tmp_path / "new", platform)["/usr/bin/nginx"] == "cap_net_bind_service=ep"
    (tagged, signature) = read_index(tmp_path / "new")
    assert tagged["annotations"] == {"org.opencontainers.image.ref.name": "v1"}
    assert signature["digest"] == index[1]["signature"]
    nested = read_blob(tmp_path / "new", tagged["digest"])
    assert [entry["platform"]["architecture"] for entry in nested["manifests"][:2]] == ["amd64", "arm64"]
    assert nested["manifests"][2]["digest"] == index[1]["attestation"]
    assert {note.partition(" ")[0] for note in report["notes"]} == {index[1]["attestation"], index[1]["signature"]}


def test_one_platform_of_an_index_is_changed(tmp_path, index, way):
    report = set_capabilities(*way, "--platform=linux/arm64", index[0], tmp_path / "new", GRANT)
    assert [image["platform"] for image in report["images"]] == ["linux/arm64"]
    assert "/usr/bin/nginx" not in _read(tmp_path / "new", "linux/amd64")
    assert "/usr/bin/nginx" in _read(tmp_path / "new", "linux/arm64")
    (tagged, _) = read_index(tmp_path / "new")
    nested = read_blob(tmp_path / "new", tagged["digest"])
    assert nested["manifests"][0]["digest"] == index[1]["amd64"]


def test_a_file_that_one_platform_lacks_is_reported_with_the_platform(tmp_path, index, way):
    done = run_imagecap("set", *way, index[0], tmp_path / "new", "/usr/bin/ping=bpf")
    assert done.status == 2
    assert done.stderr.endswith("(linux/arm64)\n")
    done = run_imagecap("set", *way, "--platform=linux/s390x", index[0], tmp_path / "new", GRANT)
    assert 'has no image for it; it has "linux/amd64", "linux/arm64"' in done.stderr


def test_a_docker_archive_of_several_platforms_needs_one(tmp_path, index):
    done = run_imagecap("set", "--rewrite", "--format=docker-archive", index[0], tmp_path / "new", GRANT)
    assert "2 images, and Docker loads one of them; choose it with --platform" in done.stderr
    set_capabilities("--rewrite", "--platform=linux/arm64", "--format=docker-archive", index[0], tmp_path / "new", GRANT)
    (item,) = json.loads(_list_members(tmp_path / "new")["manifest.json"])
    assert json.loads(_list_members(tmp_path / "new")[item["Config"]])["architecture"] == "arm64"


def test_an_index_that_many_indexes_name_is_changed_once(tmp_path):
    layout = Layout(tmp_path / "image")
    entries = [layout.put_image(LOWER)]
    for depth in range(4):
        entries = [
            layout.put(
                {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, "annotations": {"n": f"{depth} {number}"}}, INDEX
            )
            for number in range(30)
        ]
    image = layout.write_index(*entries)
    set_capabilities("--rewrite", image, tmp_path / "new", GRANT)
    assert "/usr/bin/nginx" in _read(tmp_path / "new")
    names = [{path.name for path in (path / "blobs/sha256").iterdir()} for path in (image, tmp_path / "new")]
    assert len(names[0]) == len(names[1])
    assert names[0].isdisjoint(names[1])  # Every index, the manifest, the config and the layer have changed.


# What documents say about layers.


def test_annotations_of_a_rewritten_layer_are_brought_up_to_date(tmp_path):
    layout = Layout(tmp_path / "image")
    entry = layout.put_image(LOWER, UPPER)
    manifest = read_blob(layout.path, entry["digest"])
    key = "io.github.rules_setcap.capabilities"
    manifest["annotations"] = {key: '{"/usr/bin/ping":"cap_net_bind_service=ep"}', "other": "kept"}
    manifest["layers"][0]["annotations"] = {"containerd.io/snapshot/stargz/toc.digest": "sha256:0", "other": "kept"}
    image = layout.write_index(layout.put(manifest, entry["mediaType"], platform=entry["platform"]))
    report = set_capabilities("--rewrite", image, tmp_path / "new", GRANT)
    new = read_blob(tmp_path / "new", read_index(tmp_path / "new")[0]["digest"])
    assert json.loads(new["annotations"][key]) == {
        "/usr/bin/nginx": "cap_net_bind_service=ep",
        "/usr/bin/alias": "cap_net_bind_service=ep",
        "/usr/bin/ping": "cap_net_bind_service=ep",
    }
    assert new["annotations"]["other"] == "kept"
    assert new["layers"][0]["annotations"] == {"other": "kept"}
    assert any("stargz" in note for note in report["notes"])


def test_a_layer_at_urls_is_not_rewritten(tmp_path):
    layout = Layout(tmp_path / "image")
    entry = layout.put_image(LOWER, UPPER)
    manifest = read_blob(layout.path, entry["digest"])
    manifest["layers"][0]["urls"] = ["https://registry.example/layer"]
    image = layout.write_index(layout.put(manifest, entry["mediaType"], platform=entry["platform"]))
    done = run_imagecap("set", "--rewrite", image, tmp_path / "new", GRANT)
    assert "is at the URLs of its descriptor, so that it cannot be changed; write --layer" in done.stderr
    set_capabilities("--layer", "--compression=zlib", image, tmp_path / "new", GRANT)


def test_a_layer_that_two_images_share_stays_for_the_one_that_does_not_change(tmp_path):
    layout = Layout(tmp_path / "image")
    image = layout.write_index(layout.put_image(LOWER), layout.put_image(LOWER, architecture="arm64"))
    set_capabilities("--rewrite", "--platform=linux/amd64", image, tmp_path / "new", GRANT)
    assert "/usr/bin/nginx" in _read(tmp_path / "new", "linux/amd64")
    assert _read(tmp_path / "new", "linux/arm64") == {}


def test_blobs_that_nothing_names_are_kept(tmp_path):
    layout = Layout(tmp_path / "image")
    other = layout.put(b"other", "text/plain")["digest"].removeprefix("sha256:")
    image = layout.write_index(layout.put_image(LOWER))
    set_capabilities("--rewrite", image, tmp_path / "new", GRANT)
    assert (tmp_path / "new/blobs/sha256" / other).read_bytes() == b"other"
    (image / "blobs/sha256" / other).write_bytes(b"damaged")
    done = run_imagecap("set", "--rewrite", image, tmp_path / "newer", GRANT)
    assert done.status == 2
    assert f"has digest sha256:{hashlib.sha256(b'damaged').hexdigest()}" in done.stderr


@pytest.mark.parametrize("compress", [gzip.compress], ids=["gzip"])
def test_a_compressed_layer_stays_compressed(tmp_path, compress):
    layout = Layout(tmp_path / "image")
    entry = layout.put_image(LOWER)
    manifest = read_blob(layout.path, entry["digest"])
    manifest["layers"] = [layout.put(compress(LOWER), f"{LAYER}+gzip")]
    image = layout.write_index(layout.put(manifest, entry["mediaType"], platform=entry["platform"]))
    report = set_capabilities("--rewrite", image, tmp_path / "new", GRANT)
    digest = report["images"][0]["layers"][0]["after"].removeprefix("sha256:")
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress((tmp_path / "new/blobs/sha256" / digest).read_bytes()))) as archive:
        assert "SCHILY.xattr.security.capability" in archive.getmember("usr/bin/nginx").pax_headers


def test_a_program_of_64_names_has_them_in_one_layer(tmp_path):
    """A layer is written once, whatever the number of files."""
    paths = [f"/usr/bin/program{number}" for number in range(64)]
    layout = Layout(tmp_path / "image")
    image = layout.write_index(layout.put_image(program_layer(*paths)))
    report = set_capabilities("--rewrite", image, tmp_path / "new", *(f"{path}=bpf" for path in paths))
    assert len(report["images"][0]["layers"]) == 1
    assert _read(tmp_path / "new") == dict.fromkeys(paths, "cap_bpf=p")


def test_a_sparse_file_is_rewritten_and_not_copied(tmp_path):
    (tmp_path / "program").write_bytes(ELF)
    (tmp_path / "program").chmod(0o755)
    os.truncate(tmp_path / "program", 1 << 20)
    layer = subprocess.run(
        [require.tool("tar"), "--sparse", "--format=pax", "--owner=0", "--group=0", "-cC", str(tmp_path), "program"],
        capture_output=True,
        check=True,
    ).stdout
    assert b"GNU.sparse.realsize" in layer
    layout = Layout(tmp_path / "image")
    image = layout.write_index(layout.put_image(layer))
    set_capabilities("--rewrite", image, tmp_path / "new", "/program=bpf")
    assert _read(tmp_path / "new") == {"/program": "cap_bpf=p"}
    assert run_imagecap("diff", image, tmp_path / "new").stdout.startswith("differs: capabilities, in layer 1 of 1\n")
    done = run_imagecap("set", "--compression=zlib", image, tmp_path / "newer", "/program=bpf")
    assert 'file: "/program": a sparse file of tar, which cannot be copied' in done.stderr


def test_a_file_that_engines_would_read_differently_is_not_rewritten(tmp_path):
    """Some engines call lchown(2) on a hard link, which clears the capabilities of the file; this one names it by another path."""
    layout = Layout(tmp_path / "image")
    layer = tar(
        ("/bin", None, ">usr/bin"), ("/usr/bin", None, "directory"), ("/usr/bin/nginx", None, ELF), ("/link", None, "=/bin/nginx")
    )
    image = layout.write_index(layout.put_image(layer))
    done = run_imagecap("set", "--rewrite", image, tmp_path / "new", GRANT)
    assert done.status == 2
    assert "container engines would differ about the capabilities of" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["image"]
    set_capabilities("--layer", "--compression=zlib", image, tmp_path / "new", GRANT)
    assert _read(tmp_path / "new") == {"/usr/bin/nginx": "cap_net_bind_service=ep"}


def test_several_images_of_an_archive_are_changed(tmp_path):
    """As "docker save a b" writes them."""
    layouts = {}
    for name in ("a", "b"):
        layout = Layout(tmp_path / name)
        layouts[f"docker.io/library/{name}:1"] = layout.write_index(layout.put_image(LOWER, tar((f"/etc/{name}", None, name))))
    archive = saved.write_archive(layouts, tmp_path / "archive.tar")
    report = set_capabilities("--rewrite", archive, tmp_path / "new.tar", GRANT)
    assert len(report["images"]) == 2
    items = json.loads(_list_members(tmp_path / "new.tar")["manifest.json"])
    assert [item["RepoTags"] for item in items] == [["a:1"], ["b:1"]]
    # The layer that both have is written once.
    assert items[0]["Layers"][0] == items[1]["Layers"][0]
    assert items[0]["Layers"][1] != items[1]["Layers"][1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_behind(tmp_path, number):
    layout = Layout(tmp_path / "image")
    zeros = program_layer("/usr/bin/nginx", content=ELF + bytes(64 << 20))
    entry = layout.put_image(zeros)
    manifest = read_blob(layout.path, entry["digest"])
    manifest["layers"] = [layout.put(gzip.compress(zeros, 1), f"{LAYER}+gzip")]
    image = layout.write_index(layout.put(manifest, entry["mediaType"], platform=entry["platform"]))
    command = [sys.executable, "-m", "rules_setcap.imagecap", "set", "--rewrite", str(image), str(tmp_path / "new"), GRANT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # When the layer is being written.
        while not list(tmp_path.glob(".new.*.partial/rewritten*")) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(number)
        assert process.wait() == 128 + number
        assert process.stderr.read() == b""
    assert sorted(os.listdir(tmp_path)) == ["image"]
