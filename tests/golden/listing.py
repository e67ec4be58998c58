"""Layers and images as text, by Python's own readers: what the goldens hold.

Nothing here is the packer's: digests, sizes and capabilities are computed anew from the
bytes.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import stat
import struct
import tarfile
import zlib

from compression import zstd

HERE = pathlib.Path("tests/golden")
GOLDENS = {
    "blocks.golden": lambda: layer(HERE / "blocks_gzip.tar.gz") + layer(HERE / "blocks_zstd.tar.zst"),
    "capabilities.golden": lambda: layer(HERE / "capabilities.tar"),
    "image.golden": lambda: image() + layer(HERE / "image_binary.tar.gz"),
    "linked.golden": lambda: layer(HERE / "linked.tar.zst"),
}
"""What makes each golden, by its file's name."""

_TYPES = {tarfile.REGTYPE: "-", tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.LNKTYPE: "h"}


def layer(blob: pathlib.Path) -> str:
    """A layer: its digests, then a line for each entry, extended attributes in hex, capabilities also in words."""
    data = blob.read_bytes()
    lines = [f"{blob.name} {digest(data)} {len(data)}", f"diff_id {digest(unpacked(data))}"]
    with tarfile.open(blob) as archive:
        for entry in archive:
            mode = _TYPES[entry.type] + stat.filemode(entry.mode)[1:]
            link = f" -> {entry.linkname}" if entry.linkname else ""
            lines.append(f"{mode} {entry.uid}:{entry.gid} {entry.mtime} {entry.size} {entry.name}{link}")
            for name, value in sorted(entry.pax_headers.items()):
                raw = value.encode("utf-8", "surrogateescape")
                words = f" ({_capabilities(raw)})" if name == "SCHILY.xattr.security.capability" else ""
                lines.append(f"    {name} {raw.hex()}{words}")
    return "\n".join(lines) + "\n"


def image() -> str:
    """Config and manifest of the image, a key a line."""
    parts = []
    for name in ("config", "manifest"):
        data = (HERE / f"image.{name}.json").read_bytes()
        parts.append(f"{name} {digest(data)} {len(data)}\n{json.dumps(json.loads(data), indent=1)}\n")
    return "".join(parts)


def digest(data: bytes) -> str:
    """As OCI writes it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def unpacked(data: bytes) -> bytes:
    """The tar in a blob."""
    if data[:2] == b"\x1f\x8b":
        return zlib.decompress(data, wbits=31)
    return zstd.decompress(data) if data[:4] == b"\x28\xb5\x2f\xfd" else data


def _capabilities(raw: bytes) -> str:
    """vfs_ns_cap_data of revision 2, as numbers."""
    magic, permitted, inheritable, permitted_high, inheritable_high = struct.unpack("<5I", raw)
    sets = {"permitted": permitted | permitted_high << 32, "inheritable": inheritable | inheritable_high << 32}
    words = [f"revision {magic >> 24}"]
    for name, bits in sets.items():
        words.append(name + " " + (",".join(str(bit) for bit in range(64) if bits >> bit & 1) or "none"))
    return ", ".join(words + ["effective"] * (magic & 1))
