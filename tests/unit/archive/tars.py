"""Makes tars by hand, and runs the packer's command setcap on them."""

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
    """Runs the command setcap on a tar; the outputs are `out` and `metadata`."""
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


def make_tar(*entries: dict[str, Any], tar_format: int = tarfile.PAX_FORMAT, **general: Any) -> bytes:
    """Returns a tar that tarfile writes.

    Args:
      *entries: for each entry, its `name`, and optionally `type`, `link`, `mode` and `content`.
      tar_format: the format, a constant of tarfile.
      **general: other arguments of tarfile.open().
    """
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tar_format, encoding="latin-1", **general) as archive:
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
    """Returns an entry with pax records of any bytes, which tarfile cannot write."""
    data = b""
    for key, value in records.items():
        body = b" " + key + b"=" + value + b"\n"
        length = len(body) + 2
        length = len(body) + len(str(length))
        data += str(length).encode() + body
    header = tarfile.TarInfo("PaxHeaders/" + name)
    header.type, header.size = tarfile.XHDTYPE, len(data)
    return (
        header.tobuf(tarfile.USTAR_FORMAT)
        + data
        + bytes(-len(data) % 512)
        + make_tar({"name": name, **fields})[: -10240 % 512 or None]
    )


def without_end(tar: bytes) -> bytes:
    """Returns a tar without its end-of-archive marker."""
    return tar.rstrip(b"\0") + bytes(-len(tar.rstrip(b"\0")) % 512)


def carrying(name: str, value: bytes, *, twin: bytes | None = None, **fields: Any) -> bytes:
    """Returns an entry with capabilities, and with those of bsdtar's record if `twin` is given."""
    records = {RECORD.encode(): value} if value else {}
    if twin is not None:
        records[TWIN.encode()] = base64.b64encode(twin).rstrip(b"=")
    return without_end(pax_entry(name, records, **fields))


def write(tmp_path: pathlib.Path, *parts: bytes) -> pathlib.Path:
    """Writes the parts to `in.tar`, and returns its path."""
    path = tmp_path / "in.tar"
    path.write_bytes(b"".join(parts))
    return path


def problems_of(tmp_path: pathlib.Path, tar: bytes, *flags: str) -> list[str]:
    """Returns the problems of a tar that setcap must refuse, without writing anything."""
    done = retrofit(tmp_path, write(tmp_path, tar), *flags)
    assert done.status == 1, done
    assert sorted(os.listdir(tmp_path)) == ["arguments", "in.tar"]
    return [line.removeprefix("//app:image: ").replace(str(tmp_path) + "/", "") for line in done.stderr.splitlines()]


def changed_header(block: bytes, at: int, data: bytes) -> bytes:
    """Returns a header with other bytes at an offset, and the right checksum."""
    block = block[:at] + data + block[at + len(data) :]
    total = sum(block[:148]) + 8 * 32 + sum(block[156:512])
    return block[:148] + b"%06o\0 " % total + block[156:]
