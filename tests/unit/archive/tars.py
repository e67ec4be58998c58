"""Tars written by hand, and the packer's subcommand setcap on them."""

from __future__ import annotations

import base64
import io
import os
import pathlib
import struct
import tarfile
from typing import Any

from support import packer

ELF = b"\x7fELF" + bytes(range(200)) * 9
RECORD, TWIN = "SCHILY.xattr.security.capability", "LIBARCHIVE.xattr.security.capability"
NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
KILL = bytes.fromhex("0000000220000000000000000000000000000000")
REVISION_3 = struct.pack("<6I", 0x03000001, 1 << 13, 0, 0, 0, 0)
END = bytes(1024)


def retrofit(tmp_path: pathlib.Path, tar: pathlib.Path, *flags: str, compression: str = "none") -> packer.Done:
    """Runs `setcap`; the outputs are `out` and `metadata`."""
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


def make_tar(*entries: dict[str, Any], format: int = tarfile.PAX_FORMAT, **general: Any) -> bytes:
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


def pax_entry(name: str, records: dict[bytes, bytes], **fields: Any) -> bytes:
    """An entry with pax records of any bytes, which tarfile cannot write."""
    data = b""
    for key, value in records.items():
        body = b" " + key + b"=" + value + b"\n"
        length = len(body) + 2
        length = len(body) + len(str(length))
        data += str(length).encode() + body
    header = tarfile.TarInfo("PaxHeaders/" + name)
    header.type, header.size = tarfile.XHDTYPE, len(data)
    return header.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512) + make_tar({"name": name, **fields})[:-10240 % 512 or None]


def without_end(tar: bytes) -> bytes:
    """Without the end-of-archive marker."""
    return tar.rstrip(b"\0") + bytes(-len(tar.rstrip(b"\0")) % 512)


def carrying(name: str, value: bytes, *, twin: bytes | None = None, **fields: Any) -> bytes:
    records = {RECORD.encode(): value} if value else {}
    if twin is not None:
        records[TWIN.encode()] = base64.b64encode(twin).rstrip(b"=")
    return without_end(pax_entry(name, records, **fields))


def write(tmp_path: pathlib.Path, *parts: bytes) -> pathlib.Path:
    """Writes the parts as `in.tar`."""
    path = tmp_path / "in.tar"
    path.write_bytes(b"".join(parts))
    return path


def problems_of(tmp_path: pathlib.Path, tar: bytes, *flags: str) -> list[str]:
    """Returns the problems of a tar that is refused; nothing is written."""
    done = retrofit(tmp_path, write(tmp_path, tar), *flags)
    assert done.status == 1, done
    assert sorted(os.listdir(tmp_path)) == ["arguments", "in.tar"]
    return [line.removeprefix("//app:image: ").replace(str(tmp_path) + "/", "") for line in done.stderr.splitlines()]


def changed_header(block: bytes, at: int, data: bytes) -> bytes:
    """A header with other bytes and the right checksum."""
    block = block[:at] + data + block[at + len(data) :]
    total = sum(block[:148]) + 8 * 32 + sum(block[156:512])
    return block[:148] + b"%06o\0 " % total + block[156:]
