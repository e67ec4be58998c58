"""Files of a base are copied to a layer that assigns them other capabilities."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

from bases import copy_files, read_capabilities, umoci_layout  # noqa: F401 (umoci_layout is a fixture)

from support import oci_layout, packer, require


def test_a_file_is_copied_with_its_attributes(umoci_layout, tmp_path):
    done = copy_files(
        tmp_path,
        umoci_layout,
        packer.assign("/sbin/ping", "cap_net_raw,cap_setuid=ep"),
        packer.assign("/usr/bin/replaced", "kill"),
    )
    assert done == (0, "")
    with tarfile.open(tmp_path / "blob") as archive:
        usr, directory, ping, replaced = archive.getmembers()
        assert [(entry.name, entry.isdir()) for entry in (usr, directory)] == [("usr", True), ("usr/bin", True)]
        assert (ping.name, ping.uid, ping.gid, ping.mode) == ("usr/bin/ping", 12, 34, 0o4751)
        content = archive.extractfile(ping).read()
        assert content == pathlib.Path(require.tool("ping")).read_bytes()
        assert archive.extractfile(replaced).read() == content + b"newer"
    # GNU tar and the kernel agree.
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run([require.tool("tar"), "--xattrs", "--xattrs-include=*", "-xf", tmp_path / "blob", "-C", root], check=True)
    assert read_capabilities(root, "usr/bin/ping") == "0100000280200000000000000000000000000000"
    assert os.getxattr(root / "usr/bin/ping", "user.note") == b"\xff\x00kept"
    metadata = json.loads((tmp_path / "metadata").read_bytes())
    assert metadata["capabilities"] == {"/usr/bin/ping": "cap_setuid,cap_net_raw=ep", "/usr/bin/replaced": "cap_kill=p"}
    assert not metadata["empty"]


def test_paths_without_a_program_are_refused(umoci_layout, tmp_path):
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
    done = copy_files(tmp_path, umoci_layout, *(packer.assign(f"/{name}", "kill") for name in names))
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
        '"/usr/bin/script": a script; the kernel ignores its capabilities, and takes those of its interpreter, "/bin/sh": assign them to that, or to a program that starts the script',
    ]
    assert sorted(os.listdir(tmp_path)) == ["arguments"]


def test_modes_owners_and_xattrs_of_copied_files_are_changed(umoci_layout, tmp_path):
    """The attributes name a file as file_capabilities does. Its other extended attributes stay."""
    flags = [
        packer.assign("/sbin/ping", "kill"),
        packer.assign("/usr/bin/replaced", "kill"),
        packer.change("modes", "/sbin/ping", mode="0711"),
        packer.change("owners", "/sbin/ping/", owner="5:6"),
        packer.change("xattrs", "/sbin/ping", xattrs=["user.more=1"]),
        '--mtime="2100-01-01T00:00:00Z"',
    ]
    assert copy_files(tmp_path, umoci_layout, *flags) == (0, "")
    with tarfile.open(tmp_path / "blob") as archive:
        ping, replaced = (entry for entry in archive if entry.isfile())
    assert (ping.mode, ping.uid, ping.gid, ping.mtime) == (0o711, 5, 6, 4102444800)
    assert ping.pax_headers["SCHILY.xattr.user.more"] == "1" and "SCHILY.xattr.user.note" in ping.pax_headers
    assert (replaced.mode, replaced.uid) == (0o755, 0)


def test_directories_of_copied_files_do_not_repeat_the_attributes_of_overlayfs(tmp_path):
    """They are about the layer of the base: repeated, they would hide the files of the base in the directory."""
    records = {"SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.note": "kept"}
    entries = [oci_layout.directory("opt/")._replace(records=records), oci_layout.Member("opt/tool", content=b"\x7fELF")]
    layout = oci_layout.write(tmp_path / "layout", [oci_layout.Member("opt/old", content=b"")], entries)
    assert copy_files(tmp_path, layout, packer.assign("/opt/tool", "kill")) == (0, "")
    with tarfile.open(tmp_path / "blob") as archive:
        assert archive.getmember("opt").pax_headers == {"SCHILY.xattr.user.note": "kept"}


def test_changes_of_files_that_are_not_copied_are_refused(umoci_layout, tmp_path):
    flags = [
        packer.assign("/usr/bin/ping", "kill"),
        packer.assign("/usr/bin/pong", "kill"),
        packer.change("modes", "/usr/bin/ping", mode="0640"),
        packer.change("modes", "/usr/bin/replaced", mode="x"),
        packer.change("owners", "/usr/bin/ping", owner="root"),
    ]
    done = copy_files(tmp_path, umoci_layout, *flags)
    unnamed = "file_capabilities does not name this file; only files that it names are copied from the base"
    assert [line.removeprefix("//app:image: ") for line in done.stderr.splitlines()] == [
        'file_capabilities: "/usr/bin/pong": neither the binary\'s layer nor the layers below have this path; did you mean "/usr/bin/ping"?',
        f'modes: "/usr/bin/replaced": {unnamed}',
        'owners: "/usr/bin/ping": "root": not a valid owner; write uid:gid in numbers, as "65532:65532"',
        'file_capabilities: "/usr/bin/ping": mode 0640 has no execute bit; capabilities are for programs: set mode = "0755"',
    ]
    # If the binary has a layer, the action of that layer has reported the paths that neither layer has.
    (tmp_path / "unmatched").write_text('["/usr/bin/ping"]')
    flags = [packer.assign("/usr/bin/ping", "kill"), packer.change("modes", "/app/x", mode="0700"), "--unmatched-paths=unmatched"]
    assert copy_files(tmp_path, umoci_layout, *flags) == (0, "")


def test_the_layer_of_the_binary_writes_the_paths_that_it_does_not_have(tmp_path):
    """The action that copies files of the base reads these paths."""
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
    invalid = (
        packer.change("owners", "/bin/pong", owner="0:0"),
        packer.assign("/bin/pong", "kill"),
        packer.assign("/usr/bin/png", "kill"),
    )
    nowhere = "neither the binary's layer nor the layers below have this path"
    assert layer.pack(*flags, *invalid[1:], "--unmatched-paths=unmatched") == (
        1,
        f'//app:image: file_capabilities: "/bin/pong": {nowhere}\n'
        f'//app:image: file_capabilities: "/usr/bin/png": {nowhere}; did you mean "/usr/bin/ping"?\n',
    )
    assert layer.pack(*flags, invalid[0], "--unmatched-paths=unmatched") == (
        1,
        '//app:image: owners: "/bin/pong": no entry of this layer has this path\n',
    )
    # If the base could not be listed, there is no problem about its files.
    (tmp_path / "contents").write_text(
        json.dumps({"capabilities": {}, "contents": {**contents, "files": []}, "problems": ["base: bad"]})
    )
    assert layer.pack(*flags, "--unmatched-paths=unmatched") == (1, "//app:image: base: bad\n")


def test_a_layer_that_differs_from_its_digest_is_refused(umoci_layout, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(umoci_layout, changed)
    index = json.loads((changed / "index.json").read_bytes())
    manifest = json.loads((changed / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_bytes())
    blob = changed / "blobs/sha256" / manifest["layers"][0]["digest"][7:]
    os.chmod(blob, 0o644)
    data = bytearray(blob.read_bytes())
    data[9] ^= 1  # The operating system in the gzip header: the unpacked bytes stay the same.
    blob.write_bytes(data)
    (tmp_path / "run").mkdir()
    done = copy_files(tmp_path / "run", changed, packer.assign("/usr/bin/ping", "kill"))
    assert done.status == 1 and manifest["layers"][0]["digest"] in done.stderr and "digest sha256:" in done.stderr
    assert os.listdir(tmp_path / "run") == ["arguments"]


def test_a_layer_that_differs_from_its_size_is_refused(umoci_layout, tmp_path):
    """Its digest is right; only the size in the manifest is wrong."""
    shutil.copytree(umoci_layout, tmp_path / "changed")
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
    done = copy_files(tmp_path / "run", tmp_path / "changed", packer.assign("/usr/bin/ping", "kill"))
    size = manifest["layers"][0]["size"] - 1
    assert (
        done.status == 1
        and f"{manifest['layers'][0]['digest']} has {size} bytes and digest {manifest['layers'][0]['digest']}" in done.stderr
    )
