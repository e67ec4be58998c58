"""Files of a base image with other capabilities; bases in every form that people have them in."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import random
import shutil
import subprocess
import tarfile
from typing import Any

import pytest

from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import image_documents
from support import layout as layouts
from support import packer, require
from support.container import Bundle

HERE = pathlib.Path("tests/base")
NET_RAW = "0100000200200000000000000000000000000000"
PLATFORM = "linux/amd64/"


def _capabilities(root: pathlib.Path, path: str) -> str:
    try:
        return os.getxattr(root / path, "security.capability").hex()
    except OSError:
        return ""


@pytest.mark.parametrize("name", ["above", "above_archive"])
def test_files_of_the_base_by_bazel(name, tmp_path):
    root = Bundle(HERE / name, tmp_path).rootfs
    assert _capabilities(root, "usr/bin/first") == NET_RAW
    assert os.getxattr(root / "usr/bin/first", "user.comment") == b"kept"
    assert _capabilities(root, "usr/bin/second") == ""
    assert _capabilities(root, "app/helper") == "0000000200000000000000008000000000000000"
    statuses = [(root / path).stat() for path in ("app/helper", "bin/first")]
    assert [(oct(status.st_mode & 0o7777), status.st_uid) for status in statuses] == [("0o700", 0), ("0o711", 5)]
    assert (root / "bin").is_symlink()
    layers = layouts.manifest(HERE / name)["layers"]
    assert len(layers) == 3
    assert layers[0]["digest"] == layouts.manifest(HERE / "below")["layers"][0]["digest"]
    assert [entry.name for entry in _entries(HERE / name, layers[2])] == ["usr", "usr/bin", "usr/bin/first", "usr/bin/second"]


@pytest.mark.parametrize("name", ["above", "above_archive"])
def test_what_the_manifest_says_of_capabilities(name):
    key = "io.github.rules_setcap.capabilities"
    manifest = layouts.manifest(HERE / name)
    assert [json.loads(layer["annotations"][key]) for layer in manifest["layers"]] == [
        {"/usr/bin/second": "cap_kill=ep"},
        {"/app/helper": "cap_bpf=p"},
        {"/usr/bin/first": "cap_net_raw=ep", "/usr/bin/second": ""},
    ]
    assert json.loads(manifest["annotations"][key]) == {"/app/helper": "cap_bpf=p", "/usr/bin/first": "cap_net_raw=ep"}
    assert "annotations" not in layouts.manifest(HERE / "own")


@pytest.mark.parametrize("name", ["above", "above_archive"])
def test_what_runtimes_must_be_told(name):
    """The base's cap_kill was removed."""
    assert (HERE / f"{name}.docker.txt").read_text() == "--cap-drop=ALL --cap-add=NET_RAW --cap-add=BPF\n"
    assert (HERE / f"{name}.compose.yaml").read_text() == (
        f'services:\n  "{name}":\n    cap_drop: ["ALL"]\n    cap_add: ["NET_RAW", "BPF"]\n'
    )
    assert '  add: ["NET_RAW", "BPF"]\n' in (HERE / f"{name}.kubernetes.yaml").read_text()


@pytest.mark.parametrize("name, value", [("alone", "false"), ("below", "true"), ("above", "true")])
def test_no_new_privs_for_a_first_program(name, value):
    """It keeps what the runtime grants, and "restricted" asks for it, unless other files need capabilities."""
    assert f"\n  allowPrivilegeEscalation: {value}\n" in (HERE / f"{name}.kubernetes.yaml").read_text()


def test_a_base_of_another_tool_whose_files_have_capabilities():
    assert (HERE / "over_archive.docker.txt").read_text() == "--cap-drop=ALL --cap-add=KILL\n"
    manifest = layouts.manifest(HERE / "over_archive")
    assert json.loads(manifest["annotations"]["io.github.rules_setcap.capabilities"]) == {"/usr/bin/second": "cap_kill=ep"}


def test_no_layer_where_nothing_is_copied():
    assert len(layouts.manifest(HERE / "own")["layers"]) == 2
    assert len(layouts.config(HERE / "own")["rootfs"]["diff_ids"]) == 2


def _entries(layout: pathlib.Path, layer: dict[str, Any]) -> list[tarfile.TarInfo]:
    with tarfile.open(layout / "blobs/sha256" / layer["digest"].removeprefix("sha256:")) as archive:
        return archive.getmembers()


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> pathlib.Path:
    """A base that umoci makes of the real ping, in two layers, the second with whiteouts."""
    require.root()
    directory = tmp_path_factory.mktemp("base")
    umoci, image = require.tool("umoci"), f"{directory}/layout:base"
    subprocess.run([umoci, "init", "--layout", directory / "layout"], check=True)
    subprocess.run([umoci, "new", "--image", image], check=True)
    ping = pathlib.Path(require.tool("ping")).read_bytes()

    def change(number: int, edit: Any) -> None:
        bundle = directory / f"bundle{number}"
        subprocess.run([umoci, "unpack", "--image", image, bundle], check=True, capture_output=True)
        edit(bundle / "rootfs")
        subprocess.run([umoci, "repack", "--image", image, bundle], check=True, capture_output=True)

    def first(root: pathlib.Path) -> None:
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

    def second(root: pathlib.Path) -> None:
        os.unlink(root / "usr/bin/removed")
        shutil.rmtree(root / "opt/gone")
        shutil.rmtree(root / "opt/opaque")
        (root / "opt/opaque").mkdir()
        (root / "opt/opaque/new").write_bytes(ping)
        os.chmod(root / "opt/opaque/new", 0o755)
        os.unlink(root / "usr/bin/replaced")
        (root / "usr/bin/replaced").write_bytes(ping + b"newer")
        os.chmod(root / "usr/bin/replaced", 0o755)

    change(1, first)
    change(2, second)
    return directory / "layout"


def _copy(tmp_path: pathlib.Path, layout: pathlib.Path, *flags: str) -> packer.Done:
    return packer.run(
        "copy",
        "--output=blob",
        "--metadata=metadata",
        "--compression=none",
        "--created-by=test",
        f"--below-layout={layout}",
        f"--platform={PLATFORM}",
        *flags,
        cwd=tmp_path,
    )


def test_a_file_of_umocis_layers(layout, tmp_path):
    done = _copy(
        tmp_path, layout, packer.assign("/sbin/ping", "cap_net_raw,cap_setuid=ep"), packer.assign("/usr/bin/replaced", "kill")
    )
    assert done == (0, "")
    with tarfile.open(tmp_path / "blob") as archive:
        usr, folder, ping, replaced = archive.getmembers()
        assert [(each.name, each.isdir()) for each in (usr, folder)] == [("usr", True), ("usr/bin", True)]
        assert (ping.name, ping.uid, ping.gid, ping.mode) == ("usr/bin/ping", 12, 34, 0o4751)
        content = archive.extractfile(ping).read()
        assert content == pathlib.Path(require.tool("ping")).read_bytes()
        assert archive.extractfile(replaced).read() == content + b"newer"
    # As GNU tar and the kernel see it.
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run([require.tool("tar"), "--xattrs", "--xattrs-include=*", "-xf", tmp_path / "blob", "-C", root], check=True)
    assert _capabilities(root, "usr/bin/ping") == "0100000280200000000000000000000000000000"
    assert os.getxattr(root / "usr/bin/ping", "user.note") == b"\xff\x00kept"
    metadata = json.loads((tmp_path / "metadata").read_bytes())
    assert metadata["capabilities"] == {"/usr/bin/ping": "cap_setuid,cap_net_raw=ep", "/usr/bin/replaced": "cap_kill=p"}
    assert not metadata["empty"]


def test_paths_that_lead_nowhere_or_to_no_program(layout, tmp_path):
    names = (
        "bin/removed",
        "opt/gone/tool",
        "opt/opaque/old",
        "usr/bin/latest",
        "bin/script",
        "var",
        "loop/x",
        "usr/bin/pong",
        "../etc",
    )
    done = _copy(tmp_path, layout, *(packer.assign(f"/{name}", "kill") for name in names))
    assert done.status == 1
    nowhere = "neither the binary's layer nor the layers below have this path"
    assert [line.removeprefix("//app:image: file_capabilities: ") for line in done.stderr.splitlines()] == [
        '"/../etc": must not have "//", "/./" or "/../"; write the path without them',
        f'"/bin/removed": {nowhere}',
        f'"/opt/gone/tool": {nowhere}',
        f'"/opt/opaque/old": {nowhere}; did you mean "/opt/opaque/new"?',
        '"/usr/bin/latest": a symbolic link; the kernel looks at the file it leads to: name "/usr/bin/ping"',
        '"/var": a directory; capabilities are for programs',
        '"/loop/x": more than 40 symbolic links lead from "/loop"',
        f'"/usr/bin/pong": {nowhere}; did you mean "/usr/bin/ping"?',
        '"/usr/bin/script": a script; the kernel ignores its capabilities, and takes those of its interpreter, "/bin/sh"',
    ]
    assert sorted(os.listdir(tmp_path)) == ["arguments"]


def test_modes_owners_and_attributes_of_copied_files(layout, tmp_path):
    """By the path that file_capabilities has; other extended attributes of the base stay."""
    flags = [
        packer.assign("/sbin/ping", "kill"),
        packer.assign("/usr/bin/replaced", "kill"),
        packer.change("modes", "/sbin/ping", mode="0711"),
        packer.change("owners", "/sbin/ping/", owner="5:6"),
        packer.change("xattrs", "/sbin/ping", xattrs=["user.more=1"]),
        "--mtime=2100-01-01T00:00:00Z",
    ]
    assert _copy(tmp_path, layout, *flags) == (0, "")
    with tarfile.open(tmp_path / "blob") as archive:
        ping, replaced = (entry for entry in archive if entry.isfile())
    assert (ping.mode, ping.uid, ping.gid, ping.mtime) == (0o711, 5, 6, 4102444800)
    assert ping.pax_headers["SCHILY.xattr.user.more"] == "1" and "SCHILY.xattr.user.note" in ping.pax_headers
    assert (replaced.mode, replaced.uid) == (0o755, 0)


def test_changes_of_files_that_are_not_copied(layout, tmp_path):
    flags = [
        packer.assign("/usr/bin/ping", "kill"),
        packer.assign("/usr/bin/pong", "kill"),
        packer.change("modes", "/usr/bin/ping", mode="0640"),
        packer.change("modes", "/usr/bin/replaced", mode="x"),
        packer.change("owners", "/usr/bin/ping", owner="root"),
    ]
    done = _copy(tmp_path, layout, *flags)
    unnamed = "file_capabilities does not name this file; only files that it names are copied from the base"
    assert [line.removeprefix("//app:image: ") for line in done.stderr.splitlines()] == [
        'file_capabilities: "/usr/bin/pong": neither the binary\'s layer nor the layers below have this path; did you mean "/usr/bin/ping"?',
        f'modes: "/usr/bin/replaced": {unnamed}',
        'owners: "/usr/bin/ping": "root": not a valid owner; write uid:gid in numbers, as "65532:65532"',
        'file_capabilities: "/usr/bin/ping": mode 0640 has no execute bit; capabilities are for programs: set mode = "0755"',
    ]
    # Beside a layer of the binary's own, that layer's action has reported paths that neither has.
    (tmp_path / "unmatched").write_text('["/usr/bin/ping"]')
    flags = [packer.assign("/usr/bin/ping", "kill"), packer.change("modes", "/app/x", mode="0700"), "--unmatched-paths=unmatched"]
    assert _copy(tmp_path, layout, *flags) == (0, "")


def test_changes_of_files_of_two_layers(tmp_path):
    """The binary's layer leaves to the other what it does not have."""
    layer = packer.Layer(tmp_path).add("/app/x", b"\x7fELF")
    contents = {"directories": {}, "files": ["/usr/bin/ping"], "links": {"/bin": "usr/bin"}}
    (tmp_path / "contents").write_text(json.dumps({"capabilities": {}, "contents": contents}))
    flags = [
        "--base-contents=contents",
        packer.assign("/app/x", "kill"),
        packer.assign("/bin/ping", "kill"),
        packer.change("modes", "/app/x", mode="0700"),
        packer.change("modes", "/bin/ping", mode="0711"),
    ]
    assert layer.pack(*flags, "--unmatched-paths=unmatched") == (0, "")
    assert json.loads((tmp_path / "unmatched").read_bytes()) == ["/bin/ping"]
    wrong = (
        packer.change("owners", "/bin/pong", owner="0:0"),
        packer.assign("/bin/pong", "kill"),
        packer.assign("/usr/bin/png", "kill"),
    )
    nowhere = "neither the binary's layer nor the layers below have this path"
    assert layer.pack(*flags, *wrong[1:], "--unmatched-paths=unmatched") == (
        1,
        f'//app:image: file_capabilities: "/bin/pong": {nowhere}\n'
        f'//app:image: file_capabilities: "/usr/bin/png": {nowhere}; did you mean "/usr/bin/ping"?\n',
    )
    assert layer.pack(*flags, wrong[0], "--unmatched-paths=unmatched") == (
        1,
        '//app:image: owners: "/bin/pong": no entry of this layer has this path\n',
    )
    # A base that could not be listed: nothing is said of its files.
    (tmp_path / "contents").write_text(
        json.dumps({"capabilities": {}, "contents": {**contents, "files": []}, "problems": ["base: bad"]})
    )
    assert layer.pack(*flags, "--unmatched-paths=unmatched") == (1, "//app:image: base: bad\n")


def test_not_a_byte_is_trusted_before_its_digest(layout, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(layout, changed)
    index = json.loads((changed / "index.json").read_bytes())
    manifest = json.loads((changed / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_bytes())
    blob = changed / "blobs/sha256" / manifest["layers"][0]["digest"][7:]
    os.chmod(blob, 0o644)
    data = bytearray(blob.read_bytes())
    data[9] ^= 1  # The operating system in gzip's header: it unpacks to the same.
    blob.write_bytes(data)
    (tmp_path / "run").mkdir()
    done = _copy(tmp_path / "run", changed, packer.assign("/usr/bin/ping", "kill"))
    assert done.status == 1 and manifest["layers"][0]["digest"] in done.stderr and "digest sha256:" in done.stderr
    assert os.listdir(tmp_path / "run") == ["arguments"]


ARCHIVES = {"oci-archive": [], "docker-archive": [], "docker-archive gzip": ["gzip"], "oci-archive xz": ["xz"]}


@pytest.fixture(scope="module")
def archives(layout, tmp_path_factory) -> dict[str, pathlib.Path]:
    """The base as one file, by skopeo."""
    directory = tmp_path_factory.mktemp("archives")
    found = {}
    for name, compress in ARCHIVES.items():
        kind = name.split()[0]
        path = directory / name.replace(" ", "-")
        command = [require.tool("skopeo"), "copy", "--insecure-policy", "--quiet", f"oci:{layout}:base", f"{kind}:{path}:test:1"]
        subprocess.run(command, check=True, env={**os.environ, "TMPDIR": str(directory)})
        for program in compress:
            subprocess.run([require.tool(program), "-k", path], check=True)
            path = path.with_name(path.name + {"gzip": ".gz", "xz": ".xz"}[program])
        found[name] = path
    return found


def _unpack(tmp_path: pathlib.Path, archive: pathlib.Path) -> packer.Done:
    return packer.run("unpack", "--output=layout", f"--archive={archive}", cwd=tmp_path)


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(name, archives, layout, tmp_path):
    assert _unpack(tmp_path, archives[name]) == (0, "")
    (manifest,) = json.loads((tmp_path / "layout/index.json").read_bytes())["manifests"]
    assert layouts.config(tmp_path / "layout")["rootfs"] == layouts.config(layout)["rootfs"]
    # skopeo, which knows layouts, finds nothing wrong with it.
    inspected = subprocess.run(
        [require.tool("skopeo"), "inspect", "--raw", f"oci:{tmp_path}/layout"], check=True, capture_output=True
    ).stdout
    assert "sha256:" + hashlib.sha256(inspected).hexdigest() == manifest["digest"]
    assert _copy(tmp_path, tmp_path / "layout", packer.assign("/sbin/ping", "kill")) == (0, "")


@pytest.mark.parametrize("place", ["content", "padding"])
def test_docker_archive_with_a_changed_layer(archives, tmp_path, place):
    """The diff_ids in the config are the only digests that what `docker save` writes has."""
    with tarfile.open(archives["docker-archive"]) as archive, tarfile.open(tmp_path / "changed", "w") as changed:
        for entry in archive:
            data = archive.extractfile(entry).read() if entry.isreg() else b""
            if entry.isreg() and entry.name.endswith(".tar"):
                at = 600 if place == "content" else len(data) - 1
                data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            changed.addfile(entry, io.BytesIO(data))
    done = _unpack(tmp_path, tmp_path / "changed")
    assert done.status == 1 and "a layer with digest sha256:" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "layout").exists()


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_archive_with_a_file_twice(archives, tmp_path, kind):
    """With other bytes: readers would take either."""
    with tarfile.open(archives[kind]) as archive, tarfile.open(tmp_path / "twice", "w") as made:
        members = [(entry, archive.extractfile(entry).read() if entry.isreg() else b"") for entry in archive]
        name = "index.json" if kind == "oci-archive" else "manifest.json"
        for entry, data in [*members, *((entry, data + b" ") for entry, data in members if entry.name == name)]:
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    done = _unpack(tmp_path, tmp_path / "twice")
    assert done.status == 1 and f'has "/{name}" twice' in done.stderr
    assert not (tmp_path / "layout").exists()


def test_archive_whose_links_go_round(archives, tmp_path):
    with tarfile.open(archives["docker-archive"]) as archive, tarfile.open(tmp_path / "round", "w") as made:
        for entry in archive:
            if entry.name.endswith(".tar"):
                entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, entry.name, 0
            made.addfile(entry, io.BytesIO(archive.extractfile(entry).read()) if entry.isreg() else None)
    done = _unpack(tmp_path, tmp_path / "round")
    assert done.status == 1 and "links that go round at " in done.stderr
    assert not (tmp_path / "layout").exists()


def test_the_size_of_a_layer_is_checked(layout, tmp_path):
    """Its digest is right, and the manifest says another size."""
    shutil.copytree(layout, tmp_path / "changed")
    index = json.loads((tmp_path / "changed/index.json").read_bytes())
    blobs = tmp_path / "changed/blobs/sha256"
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_bytes())
    manifest["layers"][0]["size"] += 1
    data = json.dumps(manifest).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    index["manifests"][0].update(digest=f"sha256:{digest}", size=len(data))
    (tmp_path / "changed/index.json").write_text(json.dumps(index))
    (tmp_path / "run").mkdir()
    done = _copy(tmp_path / "run", tmp_path / "changed", packer.assign("/usr/bin/ping", "kill"))
    size = manifest["layers"][0]["size"] - 1
    assert (
        done.status == 1
        and f"{manifest['layers'][0]['digest']} has {size} bytes and digest {manifest['layers'][0]['digest']}" in done.stderr
    )


def test_damaged_archives(archives, tmp_path):

    chance = random.Random(4)
    tried = refused = 0
    for path in archives.values():
        data = path.read_bytes()
        for _ in range(60):
            damaged = bytearray(data)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            if chance.random() < 0.3:
                del damaged[chance.randrange(len(damaged)) :]
            (tmp_path / "archive").write_bytes(damaged)
            status, said = packer.run_here(
                ["unpack", "--target=//x", f"--output={tmp_path}/layout", f"--archive={tmp_path}/archive"]
            )
            tried += 1
            if status:
                refused += 1
                assert status == 1 and said.startswith("//x: base: ") and len(said) < 1000, said
                assert not (tmp_path / "layout").exists()
            else:
                shutil.rmtree(tmp_path / "layout")
    print(f"{tried} damaged archives, {refused} refused")
    assert refused > tried // 2


def test_what_is_no_image(tmp_path):
    for content, said in (
        (b"no", "ends within a header"),
        (b"", "end-of-archive marker"),
        (bytes(10240), "neither index.json nor manifest.json"),
    ):
        (tmp_path / "file").write_bytes(content)
        done = _unpack(tmp_path, tmp_path / "file")
        assert done.status == 1 and said in done.stderr and done.stderr.count("\n") == 1
        assert not (tmp_path / "layout").exists()


def _layout_in_the_source_tree(layout: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    source = tmp_path / "source"
    shutil.copytree(layout, source)
    for path in [source, *source.rglob("*")]:
        os.chmod(path, 0o755)
    return source


def test_a_directory_in_the_source_tree_is_copied(layout, tmp_path):
    source = _layout_in_the_source_tree(layout, tmp_path)
    (source / "blobs/sha256/unrelated").write_text("left out")
    assert _unpack(tmp_path, source) == (0, "")
    assert layouts.config(tmp_path / "layout") == layouts.config(layout)
    copies = list((tmp_path / "layout/blobs/sha256").iterdir())
    assert {path.name for path in copies} == {path.name for path in (layout / "blobs/sha256").iterdir()}
    assert not any(path.is_symlink() for path in copies)


def test_a_damaged_directory_is_not_copied(layout, tmp_path):
    source = _layout_in_the_source_tree(layout, tmp_path)
    blobs = sorted((source / "blobs/sha256").iterdir())[:2]
    for blob in blobs:
        blob.write_bytes(b"damaged")
    done = _unpack(tmp_path, source)
    digest = hashlib.sha256(b"damaged").hexdigest()
    lines = [f'{packer.TARGET}: base: "{source}": "blobs/sha256/{blob.name}" has digest sha256:{digest}\n' for blob in blobs]
    assert done == (1, "".join(lines))
    assert not (tmp_path / "layout").exists()
    shutil.rmtree(source / "blobs")
    (source / "index.json").unlink()
    message = f'{packer.TARGET}: base: "{source}": a directory without index.json; give an OCI layout directory\n'
    assert _unpack(tmp_path, source) == (1, message)


def test_files_of_a_layout_are_linked(layout, tmp_path):
    source = _layout_in_the_source_tree(layout, tmp_path)
    other = tmp_path / "other/blobs/sha256" / ("0" * 64)
    other.parent.mkdir(parents=True)
    other.touch()
    flags = ["--attribute=image", "--output=layout", f"--index={source}/index.json"]
    files = [f"--file={path}" for path in [*source.rglob("*"), other] if path.is_file()]
    assert packer.run("link", *flags, *files, cwd=tmp_path) == (0, "")
    assert layouts.config(tmp_path / "layout") == layouts.config(layout)
    links = {path.name: os.readlink(path) for path in (tmp_path / "layout/blobs/sha256").iterdir()}
    assert links == {path.name: os.path.realpath(path) for path in (source / "blobs/sha256").iterdir()}
    assert (tmp_path / "layout/oci-layout").exists()
    done = packer.run("link", *flags, f"--file={source}/index.json", cwd=tmp_path)
    what = "the index.json of an OCI layout without its blobs; give all files of the layout"
    assert done == (1, f'{packer.TARGET}: image: "{source}/index.json": {what}\n')


def test_one_image_or_index(layout, tmp_path):
    source = _layout_in_the_source_tree(layout, tmp_path)
    index = json.loads((source / "index.json").read_bytes())
    (own,) = index["manifests"]
    # A name for each tag of one image.
    tagged = [{**own, "annotations": {"org.opencontainers.image.ref.name": tag}} for tag in ("1", "2")]
    (source / "index.json").write_text(json.dumps({**index, "manifests": tagged}))
    assert image_documents.find_only_descriptor(str(source))["digest"] == own["digest"]
    for manifests, what in (
        ([], "its index.json names 0 images; give a layout of one image, or of one image index"),
        (
            [own, {**own, "digest": "sha256:" + "0" * 64}],
            "its index.json names 2 images; give a layout of one image, or of one image index",
        ),
        ({}, "its index has no list of manifests"),
    ):
        (source / "index.json").write_text(json.dumps({**index, "manifests": manifests}))
        with pytest.raises(InputError) as refused:
            image_documents.find_only_descriptor(str(source))
        assert refused.value.problems == [f'image: "{source}": {what}']
