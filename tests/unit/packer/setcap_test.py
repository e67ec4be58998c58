"""setcap changes the capabilities of tars that other programs have written, and no other byte."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import random
import subprocess
import tarfile
from typing import Any

import pytest
from tars import (
    ELF,
    END,
    KILL,
    NET_RAW,
    RECORD,
    REVISION_3,
    TWIN,
    carrying,
    changed_header,
    make_tar,
    problems_of,
    retrofit,
    without_end,
    write,
)

from support import packer, require

LONG = "d" * 120 + "/" + "e" * 120 + "/program"
# The commands that write tars in each format.
FORMATS = {
    "gnu": ["tar", "--format=gnu", "-cf", "{tar}", "."],
    "gnu sparse": ["tar", "--format=gnu", "--sparse", "-cf", "{tar}", "app", "d" * 120],
    "ustar": ["tar", "--format=ustar", "-cf", "{tar}", "app"],
    "v7": ["tar", "--format=v7", "--exclude=app/fifo", "-cf", "{tar}", "app"],
    "pax": ["tar", "--format=posix", "-cf", "{tar}", "."],
    "pax sparse 0.0": ["tar", "--format=posix", "--sparse", "--sparse-version=0.0", "-cf", "{tar}", "app"],
    "pax sparse 0.1": ["tar", "--format=posix", "--sparse", "--sparse-version=0.1", "-cf", "{tar}", "app"],
    "pax sparse 1.0": ["tar", "--format=posix", "--sparse", "--sparse-version=1.0", "-cf", "{tar}", "app"],
    "absolute": ["tar", "--format=gnu", "-P", "--transform=s,^app,/app,", "-cf", "{tar}", "app"],
    "bsdtar": ["bsdtar", "-cf", "{tar}", "."],
    "bsdtar pax": ["bsdtar", "--format=pax", "-cf", "{tar}", "app"],
    "bsdtar gnutar": ["bsdtar", "--format=gnutar", "-cf", "{tar}", "."],
    "gzip": ["tar", "-czf", "{tar}", "."],
    "zstd": ["tar", "--zstd", "-cf", "{tar}", "."],
    "xz": ["tar", "-cJf", "{tar}", "."],
}
SETUID = "0100000280000000000000000000000000000000"  # cap_setuid=ep, which has a byte that is not text


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> pathlib.Path:
    """Returns a directory with programs, a hard link, a sparse file, and every other kind of entry."""
    root = tmp_path_factory.mktemp("files")
    for name in ("app", os.path.dirname(LONG)):
        (root / name).mkdir(parents=True)
    for name in ("app/server", "app/other", LONG):
        (root / name).write_bytes(ELF)
        os.chmod(root / name, 0o4755)
        os.utime(root / name, (1700000000, 1700000000.25))
    os.link(root / "app/server", root / "app/zlink")
    (root / "app/symlink").symlink_to("server")
    os.mkfifo(root / "app/fifo")
    with open(root / "app/sparse", "wb") as file:
        file.write(ELF)
        file.truncate(3 << 20)
        file.seek(2 << 20)
        file.write(b"x")
    os.chmod(root / "app/sparse", 0o755)
    (root / "app/düta").write_bytes(b"text")
    return root


def _list_entries(tar: bytes) -> dict[str, dict[str, Any]]:
    """Returns everything that tarfile reads of the entries, by name, except for capabilities."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {
            entry.name: {
                **entry.get_info(),
                "sparse": entry.sparse,
                "pax": {key: value for key, value in entry.pax_headers.items() if key not in (RECORD, TWIN)},
                "content": archive.extractfile(entry).read() if entry.isreg() else b"",
            }
            for entry in archive
        }


@pytest.mark.parametrize("name", FORMATS)
def test_only_the_records_change(name, files, tmp_path):
    tar = tmp_path / "in"
    command = [word.format(tar=tar) for word in FORMATS[name]]
    subprocess.run([require.tool(command[0]), *command[1:]], cwd=files, check=True, capture_output=True)
    plain = tmp_path / "plain"
    with open(tar, "rb") as source, open(plain, "wb") as file:
        decoder = {"gzip": ["gzip", "-dc"], "zstd": ["zstd", "-dcq"], "xz": ["xz", "-dc"]}.get(name, ["cat"])
        subprocess.run([require.tool(decoder[0]), *decoder[1:]], stdin=source, stdout=file, check=True)
    before = plain.read_bytes()

    assert retrofit(tmp_path, tar) == (0, "")
    assert (tmp_path / "out").read_bytes() == before
    metadata = json.loads((tmp_path / "metadata").read_bytes())
    assert metadata["diff_id"] == "sha256:" + hashlib.sha256(before).hexdigest()
    assert "/app" in metadata["contents"]["directories"]
    assert "/app/server" in metadata["contents"]["files"]

    paths = ["/app/server", "/app/sparse"] + ["/" + LONG] * (FORMATS[name][-1] != "app" and name != "absolute")
    assert retrofit(tmp_path, tar, *(packer.assign(path, "cap_setuid=ep") for path in paths)) == (0, "")
    after = (tmp_path / "out").read_bytes()
    assert list(_list_entries(after)) == list(_list_entries(before))
    assert _list_entries(after) == _list_entries(before)
    # Each of them, and the hard link, got one pax header of 512 bytes and records of 512 at most, and nothing else.
    extra = (len(after) - len(before)) // 512
    assert extra == sum(2 if "SCHILY" in header else 0 for header in _list_pax_headers(after)) - _count_merged_blocks(
        before, paths
    )
    assert json.loads((tmp_path / "metadata").read_bytes())["capabilities"] == dict.fromkeys(
        sorted([*paths, "/app/zlink"]), "cap_setuid=ep"
    )
    # Without the capabilities, every byte is as before.
    os.rename(tmp_path / "out", tmp_path / "again")
    assert retrofit(tmp_path, tmp_path / "again", *(packer.assign(path) for path in paths)) == (0, "")
    assert (tmp_path / "out").read_bytes() == before

    for reader in (["tar", "--xattrs", "--xattrs-include=*", "-xf"], ["bsdtar", "-xpf"]):
        root = tmp_path / reader[0]
        root.mkdir()
        subprocess.run([require.tool(reader[0]), *reader[1:], tmp_path / "again", "-C", root], check=True, capture_output=True)
        if os.geteuid() == 0:
            for path in (*paths, "/app/zlink"):
                assert os.getxattr(root / path[1:], "security.capability").hex() == SETUID, (reader, path)
            assert "security.capability" not in os.listxattr(root / "app/other")
        assert (root / "app/sparse").read_bytes() == (files / "app/sparse").read_bytes()


def _list_pax_headers(tar: bytes) -> list[str]:
    """Returns the records of each pax header."""
    headers, at = [], 0
    while at < len(tar) and tar[at]:
        kind, size = tar[at + 156 : at + 157], int(tar[at + 124 : at + 135].rstrip(b"\0 ") or b"0", 8)
        if kind == b"x":
            headers.append(tar[at + 512 : at + 512 + size].decode("latin-1"))
        more = kind == b"S" and tar[at + 482]
        at += 512 + -(-size // 512) * 512 * (kind not in b"1235") + 512 * bool(more)
    return headers


def _count_merged_blocks(tar: bytes, paths: list[str]) -> int:
    """Returns the number of blocks that are saved because entries have a pax header already: its header and its records."""
    with_header = 0
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for entry in archive:
            path = "/" + entry.name.lstrip("./")
            if entry.pax_headers and (path in paths or path == "/app/zlink"):
                with_header += 2
    return with_header


def test_every_compression_holds_the_same_tar(files, tmp_path):
    tar = tmp_path / "in"
    subprocess.run([require.tool("tar"), "-cf", tar, "."], cwd=files, check=True)
    diff_ids = set()
    for compression in ("none", "gzip", "zstd"):
        assert retrofit(tmp_path, tar, packer.assign("/app/server", "bpf"), compression=compression) == (0, "")
        metadata = json.loads((tmp_path / "metadata").read_bytes())
        diff_ids.add(metadata["diff_id"])
        assert metadata["descriptor"]["digest"] == "sha256:" + hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest()
    assert len(diff_ids) == 1


def _read_records(tmp_path: pathlib.Path) -> dict[str, tuple[str, str]]:
    """Returns both records of each entry by name: the one of engines in hexadecimal, and that of bsdtar."""
    with tarfile.open(tmp_path / "out", encoding="latin-1") as archive:
        return {
            entry.name: (
                entry.pax_headers.get(RECORD, "").encode("utf-8", "surrogateescape").hex(),
                entry.pax_headers.get(TWIN, ""),
            )
            for entry in archive
        }


def test_existing_capabilities_are_kept_removed_or_forbidden(tmp_path):
    tar = write(tmp_path, carrying("ping", NET_RAW), without_end(make_tar({"name": "server"})), END)
    assert retrofit(tmp_path, tar, packer.assign("/server", "bpf")) == (0, "")
    assert _read_records(tmp_path)["ping"] == (NET_RAW.hex(), "")
    assert retrofit(tmp_path, tar, packer.assign("/server", "bpf"), "--existing-capabilities=remove") == (0, "")
    assert _read_records(tmp_path)["ping"] == ("", "")
    assert json.loads((tmp_path / "metadata").read_bytes())["capabilities"] == {"/server": "cap_bpf=p"}
    assert retrofit(tmp_path, tar, packer.assign("/ping"), "--existing-capabilities=forbid") == (0, "")
    assert _read_records(tmp_path)["ping"] == ("", "")
    os.unlink(tmp_path / "out")
    done = retrofit(tmp_path, tar, "--existing-capabilities=forbid")
    assert done.status == 1 and not (tmp_path / "out").exists()
    assert done.stderr == (
        '//app:image: tar: "/ping": has cap_net_raw=ep, and existing_capabilities is "forbid"; '
        'name it in file_capabilities, with "" to remove them\n'
    )


def test_the_record_of_bsdtar_changes_too(tmp_path):
    import base64

    tar = write(tmp_path, carrying("a", NET_RAW, twin=NET_RAW), carrying("b", b"", twin=NET_RAW), END)
    assert retrofit(tmp_path, tar, packer.assign("/a", "cap_kill=p")) == (0, "")
    text = base64.b64encode(KILL).decode().rstrip("=")
    # Container engines now read the capabilities that only bsdtar would have read.
    assert _read_records(tmp_path) == {
        "a": (KILL.hex(), text),
        "b": (NET_RAW.hex(), base64.b64encode(NET_RAW).decode().rstrip("=")),
    }
    assert retrofit(tmp_path, tar, "--existing-capabilities=remove") == (0, "")
    assert _read_records(tmp_path) == {"a": ("", ""), "b": ("", "")}
    done = retrofit(tmp_path, write(tmp_path, carrying("a", NET_RAW, twin=KILL), END))
    assert done.status == 1 and "have different capabilities" in done.stderr


def test_a_zero_rootid_is_dropped_if_asked(tmp_path):
    tar = write(tmp_path, carrying("a", REVISION_3), END)
    assert retrofit(tmp_path, tar) == (0, "")
    assert _read_records(tmp_path)["a"][0] == REVISION_3.hex()
    assert retrofit(tmp_path, tar, "--drop-zero-rootid=yes") == (0, "")
    assert _read_records(tmp_path)["a"][0] == NET_RAW.hex()


def test_all_problems_are_reported_at_once(tmp_path):
    tar = make_tar(
        {"name": "server"},
        {"name": "link", "type": tarfile.SYMTYPE, "link": "server"},
        {"name": "far", "type": tarfile.SYMTYPE, "link": "dir/hop"},
        {"name": "hard", "type": tarfile.LNKTYPE, "link": "server"},
        {"name": "dir", "type": tarfile.DIRTYPE},
        {"name": "dir/hop", "type": tarfile.SYMTYPE, "link": "../server"},
        {"name": "run.sh", "content": b"#!/bin/sh\n"},
        {"name": "data", "mode": 0o644},
        {"name": "text", "content": b"text"},
        {"name": "server"},
    )
    names = ("link", "far", "hard", "dir", "run.sh", "data", "text", "sever", "../x")
    assert problems_of(
        tmp_path, tar, *(packer.assign(f"/{name}", "cap_bpf=p") for name in names), packer.assign("/server", "bfp")
    ) == [
        'file_capabilities: "/../x": must not have "//", "/./" or "/../"; write the path without them',
        'file_capabilities: "bfp": unknown capability; did you mean "bpf"?',
        'file_capabilities: "/link": a symbolic link; the kernel looks at the file it leads to: name "/server"',
        'file_capabilities: "/far": a symbolic link; the kernel looks at the file it leads to ("/dir/hop" -> "/server"): name "/server"',
        'file_capabilities: "/hard": a hard link to "/server"; name that',
        'file_capabilities: "/dir": a directory; capabilities are for programs',
        'file_capabilities: "/run.sh": a script; the kernel ignores its capabilities, and takes those of its interpreter, "/bin/sh": assign them to that, or to a program that starts the script',
        'file_capabilities: "/data": mode 0644 has no execute bit; capabilities are for programs: set mode = "0755"',
        'file_capabilities: "/text": not an ELF program; the kernel ignores its capabilities',
        'tar: "/server": is there twice; unpackers take the later one, people may mean the other',
        'file_capabilities: "/sever": no entry of the tar has this path; did you mean "/server"?',
    ]


def test_a_damaged_archive_is_packed_or_refused(files, tmp_path):
    """A refused archive has short messages, and leaves no output."""
    tar = tmp_path / "in.tar"
    archives = {}
    for name in ("gnu", "pax", "bsdtar", "gzip", "xz", "zstd"):
        command = [word.format(tar=tar) for word in FORMATS[name]]
        subprocess.run([require.tool(command[0]), "--exclude=sparse", *command[1:]], cwd=files, check=True, capture_output=True)
        archives[name] = tar.read_bytes()
    chance = random.Random(20)
    refused = tried = 0
    request = ["setcap", "--target=//x", f"--output={tmp_path}/out", f"--metadata={tmp_path}/metadata", f"--tar={tar}"]
    request += ["--compression=none", "--created-by=test", packer.assign("/app/server", "bpf")]
    for data in archives.values():
        for _ in range(400):
            damaged = bytearray(data)
            for _ in range(chance.randint(1, 3)):
                at = chance.randrange(min(len(damaged), 8192))
                damaged[at] = chance.choice([0, 255, 48, damaged[at] ^ 1 << chance.randrange(8)])
            if chance.random() < 0.3:
                del damaged[chance.randrange(len(damaged)) :]
            if chance.random() < 0.5 and data[:2] not in (b"\x1f\x8b", b"\xfd7", b"\x28\xb5"):
                for at in range(0, min(len(damaged), 8192) - 512, 512):
                    if damaged[at + 257 : at + 262] == b"ustar":
                        damaged[at : at + 512] = changed_header(bytes(damaged[at : at + 512]), 0, b"")
            tar.write_bytes(damaged)
            status, messages = packer.run_here(request)
            tried += 1
            assert status in (0, 1)
            if status:
                refused += 1
                assert all(line.startswith("//x: ") and len(line) < 1000 for line in messages.splitlines()), messages
                assert "out" not in os.listdir(tmp_path)
            else:
                os.unlink(tmp_path / "out")
    print(f"{tried} damaged archives, {refused} refused")
    assert refused > tried // 2
