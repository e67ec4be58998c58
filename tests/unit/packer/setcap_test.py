"""Tars of other programs with other capabilities: those change, and not a byte else."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import pathlib
import random
import struct
import subprocess
import tarfile
import zlib
from compression import zstd
from typing import Any

import pytest

from support import packer, require

ELF = b"\x7fELF" + bytes(range(200)) * 9
LONG = "d" * 120 + "/" + "e" * 120 + "/program"
RECORD, TWIN = "SCHILY.xattr.security.capability", "LIBARCHIVE.xattr.security.capability"
# How the programs that people pack with spell names and write headers.
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
SETUID = "0100000280000000000000000000000000000000"  # cap_setuid=ep: a byte that is no text


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> pathlib.Path:
    """A program in every place, a hard link to it, a sparse file, and all else that a tar may hold."""
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


def _run(tmp_path: pathlib.Path, tar: pathlib.Path, *flags: str, compression: str = "none") -> packer.Done:
    return packer.run(
        "setcap",
        "--output=out",
        "--metadata=metadata",
        f"--tar={tar}",
        f"--compression={compression}",
        "--created-by=test",
        *flags,
        cwd=tmp_path,
    )


def _grant(path: str, *words: str) -> str:
    return packer.grant(path, *words)


def _listing(tar: bytes) -> dict[str, dict[str, Any]]:
    """All that tarfile knows of the entries, by name; of sparse files, too."""
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
def test_nothing_but_the_records_changes(name, files, tmp_path):
    tar = tmp_path / "in"
    command = [word.format(tar=tar) for word in FORMATS[name]]
    subprocess.run([require.tool(command[0]), *command[1:]], cwd=files, check=True, capture_output=True)
    plain = tmp_path / "plain"
    with open(plain, "wb") as file:
        decoder = {"gzip": ["gzip", "-dc"], "zstd": ["zstd", "-dcq"], "xz": ["xz", "-dc"]}.get(name, ["cat"])
        subprocess.run([require.tool(decoder[0]), *decoder[1:]], stdin=open(tar, "rb"), stdout=file, check=True)
    before = plain.read_bytes()

    assert _run(tmp_path, tar) == (0, "")
    assert (tmp_path / "out").read_bytes() == before
    metadata = json.loads((tmp_path / "metadata").read_bytes())
    assert metadata["diff_id"] == "sha256:" + hashlib.sha256(before).hexdigest()
    assert "/app" in metadata["contents"]["directories"]
    assert "/app/server" in metadata["contents"]["files"]

    wanted = ["/app/server", "/app/sparse"] + ["/" + LONG] * (FORMATS[name][-1] != "app" and name != "absolute")
    assert _run(tmp_path, tar, *(_grant(path, "cap_setuid=ep") for path in wanted)) == (0, "")
    after = (tmp_path / "out").read_bytes()
    assert list(_listing(after)) == list(_listing(before))
    assert _listing(after) == _listing(before)
    # Each of them, and the hard link, got one pax header of 512 bytes and records of 512 at most, and nothing else.
    extra = (len(after) - len(before)) // 512
    assert extra == sum(2 if "SCHILY" in header else 0 for header in _headers(after)) - _merged(before, wanted)
    assert json.loads((tmp_path / "metadata").read_bytes())["capabilities"] == dict.fromkeys(
        sorted([*wanted, "/app/zlink"]), "cap_setuid=ep"
    )
    # Taken away again, every byte is as before.
    os.rename(tmp_path / "out", tmp_path / "again")
    assert _run(tmp_path, tmp_path / "again", *(_grant(path) for path in wanted)) == (0, "")
    assert (tmp_path / "out").read_bytes() == before

    for reader in (["tar", "--xattrs", "--xattrs-include=*", "-xf"], ["bsdtar", "-xpf"]):
        root = tmp_path / reader[0]
        root.mkdir()
        subprocess.run([require.tool(reader[0]), *reader[1:], tmp_path / "again", "-C", root], check=True, capture_output=True)
        if os.geteuid() == 0:
            for path in (*wanted, "/app/zlink"):
                assert os.getxattr(root / path[1:], "security.capability").hex() == SETUID, (reader, path)
            assert "security.capability" not in os.listxattr(root / "app/other")
        assert (root / "app/sparse").read_bytes() == (files / "app/sparse").read_bytes()


def _headers(tar: bytes) -> list[str]:
    """The records of each pax header, by struct and no more."""
    found, at = [], 0
    while at < len(tar) and tar[at]:
        kind, size = tar[at + 156 : at + 157], int(tar[at + 124 : at + 135].rstrip(b"\0 ") or b"0", 8)
        if kind == b"x":
            found.append(tar[at + 512 : at + 512 + size].decode("latin-1"))
        more = kind == b"S" and tar[at + 482]
        at += 512 + -(-size // 512) * 512 * (kind not in b"1235") + 512 * bool(more)
    return found


def _merged(tar: bytes, wanted: list[str]) -> int:
    """Blocks that a pax header which was there already saves: its own header, and its records where they have room."""
    with_header = 0
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for entry in archive:
            path = "/" + entry.name.lstrip("./")
            if entry.pax_headers and (path in wanted or path == "/app/zlink"):
                with_header += 2
    return with_header


def test_each_compression(files, tmp_path):
    tar = tmp_path / "in"
    subprocess.run([require.tool("tar"), "-cf", tar, "."], cwd=files, check=True)
    diff_ids = set()
    for compression in ("none", "gzip", "zstd"):
        assert _run(tmp_path, tar, _grant("/app/server", "bpf"), compression=compression) == (0, "")
        metadata = json.loads((tmp_path / "metadata").read_bytes())
        diff_ids.add(metadata["diff_id"])
        assert metadata["descriptor"]["digest"] == "sha256:" + hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest()
    assert len(diff_ids) == 1


def _tar(*entries: dict[str, Any], format: int = tarfile.PAX_FORMAT, **general: Any) -> bytes:
    """A tar by Python; `pax` of an entry are its records, text that stands for bytes of latin-1."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format, encoding="latin-1", **general) as archive:
        for fields in entries:
            entry = tarfile.TarInfo(fields["name"])
            entry.type = fields.get("type", tarfile.REGTYPE)
            entry.linkname = fields.get("link", "")
            entry.mode = fields.get("mode", 0o755)
            content = fields.get("content", ELF if entry.isreg() else b"")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def _pax(name: str, records: dict[bytes, bytes], **fields: Any) -> bytes:
    """An entry with pax records of any bytes, which tarfile cannot write."""
    data = b""
    for key, value in records.items():
        body = b" " + key + b"=" + value + b"\n"
        length = len(body) + 2
        length = len(body) + len(str(length))
        data += str(length).encode() + body
    header = tarfile.TarInfo("PaxHeaders/" + name)
    header.type, header.size = tarfile.XHDTYPE, len(data)
    return header.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512) + _tar({"name": name, **fields})[:-10240 % 512 or None]


def _body(tar: bytes) -> bytes:
    """Without the end-of-archive marker."""
    return tar.rstrip(b"\0") + bytes(-len(tar.rstrip(b"\0")) % 512)


def _carrying(name: str, value: bytes, *, twin: bytes | None = None, **fields: Any) -> bytes:
    import base64

    records = {RECORD.encode(): value} if value else {}
    if twin is not None:
        records[TWIN.encode()] = base64.b64encode(twin).rstrip(b"=")
    return _body(_pax(name, records, **fields))


NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
KILL = bytes.fromhex("0000000220000000000000000000000000000000")
REVISION_3 = struct.pack("<6I", 0x03000001, 1 << 13, 0, 0, 0, 0)
END = bytes(1024)


def _write(tmp_path: pathlib.Path, *parts: bytes) -> pathlib.Path:
    path = tmp_path / "in.tar"
    path.write_bytes(b"".join(parts))
    return path


def _values(tmp_path: pathlib.Path) -> dict[str, tuple[str, str]]:
    """Both records of each entry, in hex and as they are."""
    with tarfile.open(tmp_path / "out", encoding="latin-1") as archive:
        return {
            entry.name: (
                entry.pax_headers.get(RECORD, "").encode("utf-8", "surrogateescape").hex(),
                entry.pax_headers.get(TWIN, ""),
            )
            for entry in archive
        }


def test_capabilities_that_came_with_it(tmp_path):
    tar = _write(tmp_path, _carrying("ping", NET_RAW), _body(_tar({"name": "server"})), END)
    assert _run(tmp_path, tar, _grant("/server", "bpf")) == (0, "")
    assert _values(tmp_path)["ping"] == (NET_RAW.hex(), "")
    assert _run(tmp_path, tar, _grant("/server", "bpf"), "--existing=strip") == (0, "")
    assert _values(tmp_path)["ping"] == ("", "")
    assert json.loads((tmp_path / "metadata").read_bytes())["capabilities"] == {"/server": "cap_bpf=p"}
    assert _run(tmp_path, tar, _grant("/ping"), "--existing=only") == (0, "")
    assert _values(tmp_path)["ping"] == ("", "")
    os.unlink(tmp_path / "out")
    done = _run(tmp_path, tar, "--existing=only")
    assert done.status == 1 and not (tmp_path / "out").exists()
    assert done.stderr == (
        '//app:image: tar: "/ping": has cap_net_raw=ep, and existing_capabilities is "only"; '
        'name it in file_capabilities, with "" to remove them\n'
    )


def test_the_twin_record_is_kept_in_step(tmp_path):
    import base64

    tar = _write(tmp_path, _carrying("a", NET_RAW, twin=NET_RAW), _carrying("b", b"", twin=NET_RAW), END)
    assert _run(tmp_path, tar, _grant("/a", "cap_kill=p")) == (0, "")
    text = base64.b64encode(KILL).decode().rstrip("=")
    # What only bsdtar would have read, container engines now read as well.
    assert _values(tmp_path) == {"a": (KILL.hex(), text), "b": (NET_RAW.hex(), base64.b64encode(NET_RAW).decode().rstrip("="))}
    assert _run(tmp_path, tar, "--existing=strip") == (0, "")
    assert _values(tmp_path) == {"a": ("", ""), "b": ("", "")}
    done = _run(tmp_path, _write(tmp_path, _carrying("a", NET_RAW, twin=KILL), END))
    assert done.status == 1 and "say different capabilities" in done.stderr


def test_revision_3_without_rootid(tmp_path):
    tar = _write(tmp_path, _carrying("a", REVISION_3), END)
    assert _run(tmp_path, tar) == (0, "")
    assert _values(tmp_path)["a"][0] == REVISION_3.hex()
    assert _run(tmp_path, tar, "--revision-2=yes") == (0, "")
    assert _values(tmp_path)["a"][0] == NET_RAW.hex()


def _problems(tmp_path: pathlib.Path, tar: bytes, *flags: str) -> list[str]:
    done = _run(tmp_path, _write(tmp_path, tar), *flags)
    assert done.status == 1, done
    assert sorted(os.listdir(tmp_path)) == ["arguments", "in.tar"]
    return [line.removeprefix("//app:image: ").replace(str(tmp_path) + "/", "") for line in done.stderr.splitlines()]


def test_all_that_cannot_be(tmp_path):
    tar = _tar(
        {"name": "server"},
        {"name": "link", "type": tarfile.SYMTYPE, "link": "server"},
        {"name": "hard", "type": tarfile.LNKTYPE, "link": "server"},
        {"name": "dir", "type": tarfile.DIRTYPE},
        {"name": "run.sh", "content": b"#!/bin/sh\n"},
        {"name": "data", "mode": 0o644},
        {"name": "text", "content": b"text"},
        {"name": "server"},
    )
    names = ("link", "hard", "dir", "run.sh", "data", "text", "sever", "../x")
    assert _problems(tmp_path, tar, *(_grant(f"/{name}", "cap_bpf=p") for name in names), _grant("/server", "bfp")) == [
        'file_capabilities: "/../x": must not have "//", "/./" or "/../"; write the path without them',
        'file_capabilities: "bfp": unknown capability; did you mean "bpf"?',
        'file_capabilities: "/link": a symbolic link; the kernel looks at the file it leads to, "server": name that',
        'file_capabilities: "/hard": a hard link to "/server"; name that',
        'file_capabilities: "/dir": a directory; capabilities are for programs',
        'file_capabilities: "/run.sh": a script; the kernel ignores its capabilities, and takes those of the interpreter',
        'file_capabilities: "/data": mode 0644 has no execute bit; capabilities are for programs: set mode = "0755"',
        'file_capabilities: "/text": not an ELF program; the kernel ignores its capabilities',
        'tar: "/server": is there twice; unpackers take the later one, people may mean the other',
        'file_capabilities: "/sever": no entry of the tar has this path; did you mean "/server"?',
    ]


def _with(block: bytes, at: int, data: bytes) -> bytes:
    """A header with other bytes and the right checksum."""
    block = block[:at] + data + block[at + len(data) :]
    total = sum(block[:148]) + 8 * 32 + sum(block[156:512])
    return block[:148] + b"%06o\0 " % total + block[156:]


def _general(size: int) -> bytes:
    """A pax header for all entries, with a comment of that many bytes."""
    return _with(_pax("a", {b"comment": b"x" * size})[: 512 + -(-(size + 16) // 512) * 512], 156, b"g")


def _old_sparse(maps: int) -> bytes:
    """An empty file in GNU tar's old sparse format, with that many blocks of further maps."""
    more = [bytes(504) + b"\1" + bytes(7)] * (maps - 1) + [bytes(512)]
    return _with(_with(_body(_tar({"name": "s", "content": b""}, format=tarfile.GNU_FORMAT))[:512], 156, b"S"), 482, b"\1") + b"".join(more)


ONE = _body(_tar({"name": "server"}))
LIES = {
    "truncated": (ONE[:700], "ends within the content of an entry"),
    "no end": (ONE, "ends without an end-of-archive marker"),
    "half a header": (ONE + ONE[:100], "ends within a header"),
    "empty": (b"", "ends without an end-of-archive marker"),
    "garbage": (b"what is this" * 100, "header"),
    "checksum": (ONE[:10] + b"!" + ONE[11:] + END, "a header whose checksum is wrong"),
    "parent": (_body(_tar({"name": "a/../../etc/passwd"})) + END, "no name of an entry"),
    "hard link to a parent": (_body(_tar({"name": "a", "type": tarfile.LNKTYPE, "link": "../x"})) + END, "no name of an entry"),
    "negative size": (_with(ONE, 124, b"\xff" * 12) + END, "below zero, or too large"),
    "huge size": (_with(ONE, 124, b"\x80" + b"\x7f" * 11) + END, "below zero, or too large"),
    "size of letters": (_with(ONE, 124, b"0000000zz12\0") + END, "which is no number"),
    "hard link with content": (_with(ONE, 156, b"1server") + END, "hard link with content"),
    "volume": (_with(ONE, 156, b"M") + END, "which layers do not have"),
    "NUL in a name": (_body(_pax("a", {b"path": b"a\0b"})) + END, "has a NUL"),
    "records that lie": (_body(_pax("a", {b"path": b"server"})).replace(b"15 path", b"99 path") + END, "no record at byte 0"),
    "two pax headers": (_body(_pax("a", {b"path": b"b"}))[:1024] + _body(_pax("a", {b"path": b"c"})) + END, "two pax headers"),
    "pax header at the end": (_body(_pax("a", {b"path": b"b"}))[:1024] + END, "belongs to the next entry"),
    "for all entries": (_with(_body(_pax("a", {b"SCHILY.xattr.security.capability": b"x"})), 156, b"g") + END, "for all entries"),
    "pax header of more than 1 MiB": (_pax("a", {b"comment": b"x" * (1 << 20)}) + END, "are not read"),
    "endless headers for all entries": (_general(4096) * 600 + ONE + END, "too many headers for one entry"),
    "endless map of a sparse file": (_old_sparse((1 << 14) + 1) + END, "a map of a sparse file that does not end"),
    "huge pax header": (_with(ONE, 124, b"77777777777\0" + b"0" * 12 + b"        x") + END, "are not read"),
    "capabilities of revision 1": (_carrying("a", bytes.fromhex("000000010000000000000000")) + END, "no kernel takes"),
    "link against its target": (ONE + _carrying("b", KILL, type=tarfile.LNKTYPE, link="server") + END, "the same file"),
    "something after the end": (ONE + END + ONE, "has something after its end"),
    "a lone zero block": (ONE + bytes(512) + ONE, "a lone block of zeros"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies(name, tmp_path):
    tar, said = LIES[name]
    problems = _problems(tmp_path, tar)
    assert said in "\n".join(problems), problems


def test_large_headers_within_the_limits(tmp_path):
    tar = _write(tmp_path, _body(_pax("a", {b"comment": b"x" * ((1 << 20) - 20)})), _general(4096) * 400, ONE, _old_sparse(1 << 14), END)
    before = tar.read_bytes()
    assert _run(tmp_path, tar) == (0, "")
    assert (tmp_path / "out").read_bytes() == before


def _xz(data: bytes, dictionary: int) -> bytes:
    """Compresses, and says in the block's header that the dictionary is of another size (xz file format, 5.3.1)."""
    made = bytearray(lzma.compress(data, preset=0))
    end = 12 + (made[12] + 1) * 4
    at = made.index(b"\x21\x01", 12, end) + 2
    made[at] = dictionary
    made[end - 4 : end] = zlib.crc32(made[12 : end - 4]).to_bytes(4, "little")
    return bytes(made)


COMPRESSED = {
    "xz": (lzma.compress, ""),
    "xz with padding": (lambda data: lzma.compress(data) + bytes(8), ""),
    "xz with something after it": (lambda data: lzma.compress(data) + b"x", "damaged xz: something follows it"),
    "two streams of xz": (lambda data: lzma.compress(data) + lzma.compress(b""), "damaged xz: something follows it"),
    "xz with a dictionary of 64 MiB": (lambda data: _xz(data, 28), ""),
    "xz with a dictionary of 4 GiB": (lambda data: _xz(data, 40), "damaged xz: Memory usage limit exceeded"),
    "zstd after a skippable frame": (lambda data: struct.pack("<II", 0x184D2A50, 3) + b"toc" + zstd.compress(data), ""),
    "zstd before a skippable frame": (lambda data: zstd.compress(data) + struct.pack("<II", 0x184D2A5F, 3) + b"toc", ""),
}


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_tars(tmp_path, name):
    compress, fault = COMPRESSED[name]
    tar = ONE + END
    done = _run(tmp_path, _write(tmp_path, compress(tar)))
    if fault:
        assert done.status == 1 and fault in done.stderr and done.stderr.count("\n") == 1
    else:
        assert done == (0, "")
        assert (tmp_path / "out").read_bytes() == tar


def test_a_bomb_goes_off_at_a_gigabyte(tmp_path):
    """Of zstd: gzip cannot go beyond what is allowed."""
    block = zstd.compress(bytes(64 << 20), 1)
    header = tarfile.TarInfo("zeros")
    header.size = 1 << 36
    problems = _problems(tmp_path, zstd.compress(header.tobuf(tarfile.GNU_FORMAT)) + block * 1024)
    assert len(problems) == 1 and "more than 1100 times as many" in problems[0]


def test_damaged(files, tmp_path):
    """Whatever is done to an archive: it is packed, or refused in a line or two, and nothing is left behind."""
    from packer import cli

    tar = tmp_path / "in.tar"
    made = {}
    for name in ("gnu", "pax", "bsdtar", "gzip", "xz", "zstd"):
        command = [word.format(tar=tar) for word in FORMATS[name]]
        subprocess.run([require.tool(command[0]), "--exclude=sparse", *command[1:]], cwd=files, check=True, capture_output=True)
        made[name] = tar.read_bytes()
    chance = random.Random(20)
    refused = tried = 0
    request = ["setcap", "--target=//x", f"--output={tmp_path}/out", f"--metadata={tmp_path}/metadata", f"--tar={tar}"]
    request += ["--compression=none", "--created-by=test", _grant("/app/server", "bpf")]
    for data in made.values():
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
                        damaged[at : at + 512] = _with(bytes(damaged[at : at + 512]), 0, b"")
            tar.write_bytes(damaged)
            status, said = cli.run([*request])
            tried += 1
            assert status in (0, 1)
            if status:
                refused += 1
                assert all(line.startswith("//x: ") and len(line) < 1000 for line in said.splitlines()), said
                assert "out" not in os.listdir(tmp_path)
            else:
                os.unlink(tmp_path / "out")
    print(f"{tried} damaged archives, {refused} refused")
    assert refused > tried // 2
