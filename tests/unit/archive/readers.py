"""Reads tars with Go, GNU tar, bsdtar and Python."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import pathlib
import re
import subprocess
import tarfile
from collections.abc import Sequence
from typing import Any

from support import go, require

CAPABILITY, TWIN = "SCHILY.xattr.security.capability", "LIBARCHIVE.xattr.security.capability"

_LINE = re.compile(rb"(\S+) +(\S+) +(\S+) (\S+ \S+) +(.*)", re.DOTALL).fullmatch
_LARGE = 1 << 28


class Go:
    """Go's archive/tar, by the program golist/main.go."""

    def __init__(self, directory: pathlib.Path) -> None:
        """Builds the program in a directory."""
        self._program = go.build(pathlib.Path(__file__).with_name("golist") / "main.go", directory)

    def read(self, tars: Sequence[bytes]) -> list[dict[str, Any]]:
        """Returns `Error` and `Entries` of each tar, with names, targets and records as bytes."""
        lines = "".join(json.dumps(base64.b64encode(tar).decode()) + "\n" for tar in tars)
        done = subprocess.run([str(self._program)], input=lines.encode(), capture_output=True, check=True)
        archives = [json.loads(line) for line in done.stdout.splitlines()]
        for archive in archives:
            for entry in archive["Entries"]:
                entry["Name"], entry["Link"] = base64.b64decode(entry["Name"]), base64.b64decode(entry["Link"] or "")
                entry["Records"] = {key: base64.b64decode(value) for key, value in entry["Records"].items()}
        return archives


def go_entries(archive: dict[str, Any]) -> tuple[list[Any], list[bytes]] | None:
    """Returns the entries of an archive as Go read them, without capabilities, and the names of those that have capabilities."""
    if archive["Error"]:
        return None
    entries, with_capabilities = [], []
    for entry in archive["Entries"]:
        records = dict(entry["Records"])
        if records.pop(CAPABILITY, None) is not None:
            with_capabilities.append(entry["Name"])
        records.pop(TWIN, None)
        entries.append({**entry, "Records": records, "Offset": None})
    return entries, with_capabilities


def gnu_entries(path: pathlib.Path, content: bool = True) -> tuple[Any, list[bytes]] | None:
    """Returns the entries of an archive as GNU tar lists them, and their content; None if it finds the archive invalid.

    Args:
      path: the path of the archive.
      content: whether to return the content of the entries.
    """
    tar = require.tool("tar")
    listing = [tar, "--numeric-owner", "--full-time", "--quoting-style=escape", "--xattrs", "--xattrs-include=*"]
    listed = subprocess.run([*listing, "-tvvf", str(path)], capture_output=True)
    if listed.returncode or listed.stderr:
        return None
    lines: list[tuple[bytes, ...]] = []
    with_capabilities = []
    for line in listed.stdout.splitlines():
        if line.startswith(b"  x: "):
            if line.endswith(b" security.capability"):
                with_capabilities.append(lines[-1][1])
                continue
            lines.append((b"", line))
        else:
            fields = _LINE(line)
            assert fields, line
            mode, owner, size, time, name = fields.groups()
            lines.append((mode.rstrip(b"*"), name, owner, size, time))
    # A sparse file may claim to be of any size.
    if not content or sum(int(line[3]) for line in lines if line[0].startswith(b"-")) >= _LARGE:
        return (lines, b""), with_capabilities
    done = subprocess.run([tar, "-xOf", str(path)], capture_output=True)
    return None if done.returncode or done.stderr else ((lines, done.stdout), with_capabilities)


def bsdtar_entries(path: pathlib.Path) -> tuple[Any, list[bytes]] | None:
    """Returns the entries of an archive as bsdtar writes them as pax; None if it finds the archive invalid."""
    done = subprocess.run([require.tool("bsdtar"), "-cf", "-", "--format=pax", f"@{path}"], capture_output=True)
    return None if done.returncode or done.stderr else python_entries(done.stdout)


def python_entries(tar: bytes) -> tuple[Any, list[bytes]] | None:
    """Returns the entries of an archive as tarfile reads them; None if it finds the archive invalid."""
    entries, with_capabilities = [], []
    try:
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
            for entry in archive:
                records = dict(entry.pax_headers)
                name = entry.name.encode("utf-8", "surrogateescape")
                if records.pop(CAPABILITY, None) is not None:
                    with_capabilities.append(name)
                records.pop(TWIN, None)
                content = archive.extractfile(entry).read() if entry.isreg() and entry.size < _LARGE else b""
                entries.append((entry.get_info(), entry.sparse, records, hashlib.sha256(content).hexdigest()))
    except (tarfile.TarError, ValueError, OverflowError, OSError):
        return None
    return entries, with_capabilities
