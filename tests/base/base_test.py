"""Files of a base image with other capabilities; bases in every form that people have them in."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import tarfile
from typing import Any

import pytest

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
    assert (root / "bin").is_symlink()
    layers = layouts.manifest(HERE / name)["layers"]
    assert len(layers) == 3
    assert layers[0]["digest"] == layouts.manifest(HERE / "below")["layers"][0]["digest"]
    assert [entry.name for entry in _entries(HERE / name, layers[2])] == ["usr/bin/first", "usr/bin/second"]


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


def test_what_runtimes_must_be_told():
    """For what the files have in the end: the base's cap_kill was taken away."""
    assert (HERE / "above.docker.txt").read_text() == "--cap-drop=ALL --cap-add=NET_RAW --cap-add=BPF\n"
    assert (HERE / "above.compose.yaml").read_text() == (
        'services:\n  "above":\n    cap_drop: ["ALL"]\n    cap_add: ["NET_RAW", "BPF"]\n'
    )
    assert '  add: ["NET_RAW", "BPF"]\n' in (HERE / "above.kubernetes.yaml").read_text()


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
    done = _copy(tmp_path, layout, packer.grant("/sbin/ping", "cap_net_raw,cap_setuid=ep"), packer.grant("/usr/bin/replaced", "kill"))
    assert done == (0, "")
    with tarfile.open(tmp_path / "blob") as archive:
        ping, replaced = archive.getmembers()
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
    names = ("bin/removed", "opt/gone/tool", "opt/opaque/old", "usr/bin/latest", "bin/script", "var", "loop/x", "usr/bin/pong", "../etc")
    done = _copy(tmp_path, layout, *(packer.grant(f"/{name}", "kill") for name in names))
    assert done.status == 1
    assert [line.removeprefix("//app:image: file_capabilities: ") for line in done.stderr.splitlines()] == [
        '"/../etc": must not contain "//", "." or ".."',
    ]
    done = _copy(tmp_path, layout, *(packer.grant(f"/{name}", "kill") for name in names[:-1]))
    nowhere = "neither the binary's layer nor those below have this path"
    assert [line.removeprefix("//app:image: file_capabilities: ") for line in done.stderr.splitlines()] == [
        f'"/bin/removed": {nowhere}',
        f'"/opt/gone/tool": {nowhere}',
        f'"/opt/opaque/old": {nowhere}; did you mean "/opt/opaque/new"?',
        '"/usr/bin/latest": a symbolic link; the kernel looks at the file it leads to, "ping": name that',
        '"/var": a directory; capabilities are for programs',
        '"/loop/x": symbolic links that go round at /loop',
        f'"/usr/bin/pong": {nowhere}; did you mean "/usr/bin/ping"?',
    ]
    assert sorted(os.listdir(tmp_path)) == ["arguments"]
    done = _copy(tmp_path, layout, packer.grant("/bin/script", "kill"))
    assert "a script; the kernel ignores its capabilities" in done.stderr


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
    done = _copy(tmp_path / "run", changed, packer.grant("/usr/bin/ping", "kill"))
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
    assert _copy(tmp_path, tmp_path / "layout", packer.grant("/sbin/ping", "kill")) == (0, "")


def test_damaged_archives(archives, tmp_path):
    from packer import cli

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
            status, said = cli.run(["unpack", "--target=//x", f"--output={tmp_path}/layout", f"--archive={tmp_path}/archive"])
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
    for content, said in ((b"no", "ends within a header"), (b"", "end-of-archive marker"), (bytes(10240), "neither index.json nor manifest.json")):
        (tmp_path / "file").write_bytes(content)
        done = _unpack(tmp_path, tmp_path / "file")
        assert done.status == 1 and said in done.stderr and done.stderr.count("\n") == 1
        assert not (tmp_path / "layout").exists()
