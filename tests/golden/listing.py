"""Formats layers and images as the text of the golden files.

It uses Python's own readers and no code of the packer: digests, sizes and capabilities are computed from the bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import pathlib
import stat
import struct
import tarfile

from compression import zstd

HERE = pathlib.Path("tests/golden")
GOLDENS = {
    "blocks.golden": lambda: format_layer(HERE / "blocks_gzip.tar.gz") + format_layer(HERE / "blocks_zstd.tar.zst"),
    "capabilities.golden": lambda: format_layer(HERE / "capabilities.tar"),
    "image.golden": lambda: format_image() + format_layer(HERE / "image_binary.tar.gz"),
    "linked.golden": lambda: format_layer(HERE / "linked.tar.zst"),
}
"""The function that returns the text of each golden file, by file name."""

_TYPES = {tarfile.REGTYPE: "-", tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.LNKTYPE: "h"}


def format_layer(blob: pathlib.Path) -> str:
    """Returns the digests of a layer and a line for each entry, with extended attributes in hex and capabilities also in words."""
    data = blob.read_bytes()
    lines = [f"{blob.name} {compute_digest(data)} {len(data)}", f"diff_id {compute_digest(decompress(data))}"]
    with tarfile.open(blob) as archive:
        for entry in archive:
            mode = _TYPES[entry.type] + stat.filemode(entry.mode)[1:]
            link = f" -> {entry.linkname}" if entry.linkname else ""
            lines.append(f"{mode} {entry.uid}:{entry.gid} {entry.mtime} {entry.size} {entry.name}{link}")
            for name, value in sorted(entry.pax_headers.items()):
                raw = value.encode("utf-8", "surrogateescape")
                words = f" ({format_capabilities(raw)})" if name == "SCHILY.xattr.security.capability" else ""
                lines.append(f"    {name} {raw.hex()}{words}")
    return "\n".join(lines) + "\n"


def format_image() -> str:
    """Returns config and manifest of the image, one key a line."""
    parts = []
    for name in ("config", "manifest"):
        data = (HERE / f"image.{name}.json").read_bytes()
        parts.append(f"{name} {compute_digest(data)} {len(data)}\n{json.dumps(json.loads(data), indent=1)}\n")
    return "".join(parts)


def compute_digest(data: bytes) -> str:
    """Returns the digest of a blob, as OCI writes it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def decompress(data: bytes) -> bytes:
    """Returns the tar of a blob."""
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    return zstd.decompress(data) if data[:4] == b"\x28\xb5\x2f\xfd" else data


def format_capabilities(raw: bytes) -> str:
    """Returns vfs_cap_data of revision 2 with the numbers of the capabilities."""
    magic, permitted, inheritable, permitted_high, inheritable_high = struct.unpack("<5I", raw)
    sets = {"permitted": permitted | permitted_high << 32, "inheritable": inheritable | inheritable_high << 32}
    words = [f"revision {magic >> 24}"]
    for name, bits in sets.items():
        words.append(name + " " + (",".join(str(bit) for bit in range(64) if bits >> bit & 1) or "none"))
    return ", ".join(words + ["effective"] * (magic & 1))
