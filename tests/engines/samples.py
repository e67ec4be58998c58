"""Images for the comparison with container engines, made at random."""

from __future__ import annotations

import io
import json
import pathlib
import random
import tarfile
from typing import NamedTuple

from rules_setcap.capabilities import FileCapabilities, from_text, from_xattr
from support import image as images
from support import layout as layouts
from support import require

REPORT = pathlib.Path("tests/engines/report")
APP, INIT, OTHER = "/app/probe", "/sbin/tini", "/app/other"
PASSWD = "root:x:0:0::/:/bin/false\napp:x:1000:1000::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n"
GROUP = "root:x:0:\napp:x:1000:\nstaff:x:50:\n"
NAMES = ["net_bind_service", "net_raw", "chown", "setuid", "kill", "net_admin", "bpf", "sys_admin", "sys_ptrace", "audit_write"]
USERS = ["", "0", "root", "1000", "app", "1000:1000", "app:staff", "1000:nosuch", "65532", "nobody"]


class File(NamedTuple):
    """A file of an image."""

    path: str
    content: bytes
    capabilities: FileCapabilities | None = None
    mode: int = 0o755
    uid: int = 0


BASE = [File("/etc/passwd", PASSWD.encode(), None, 0o644), File("/etc/group", GROUP.encode(), None, 0o644)]
"""The files of a base image that name users and groups."""


def report() -> bytes:
    """Returns the program that prints what its process has."""
    return REPORT.read_bytes()


def init() -> bytes:
    """Returns the real tini."""
    return pathlib.Path(require.tool("tini-static")).read_bytes()


def layer(*files: File) -> bytes:
    """Returns a layer of files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            info = tarfile.TarInfo(file.path.strip("/"))
            info.mode, info.size, info.uid = file.mode, len(file.content), file.uid
            if file.capabilities is not None:
                info.pax_headers[images.RECORD] = file.capabilities.to_xattr().decode("utf-8", "surrogateescape")
            archive.addfile(info, io.BytesIO(file.content))
    return made.getvalue()


def text(draw: random.Random) -> str | None:
    """Draws the capabilities of a file; None for none."""
    if draw.random() < 0.25:
        return None
    names = ",".join("cap_" + name for name in draw.sample(NAMES, draw.choice([1, 1, 1, 2, 3])))
    return draw.choice([f"{names}=p", f"{names}=ep", f"{names}=ep", f"{names}=ei", f"{names}=eip", f"{names}=i", "="])


def program(draw: random.Random, path: str, content: bytes) -> File:
    """Draws a program: its capabilities, or set-user-ID bit."""
    if draw.random() < 0.12:
        return File(path, content, None, draw.choice([0o4755, 0o2755, 0o6755]), draw.choice([0, 0, 1000]))
    drawn = text(draw)
    known = from_text(drawn) if drawn is not None else None
    if known and draw.random() < 0.05:
        known = FileCapabilities(known.permitted, known.inheritable, known.effective, 1000)
    return File(path, content, known, 0o755 if draw.random() < 0.9 else 0o4755)


def draw_image(draw: random.Random, directory: pathlib.Path) -> pathlib.Path:
    """Draws an image: a program alone or with an init before it, a user, and base files or none."""
    files = [program(draw, APP, report()), program(draw, OTHER, report())]
    config: dict[str, object] = {"Entrypoint": [APP]}
    files.append(File(INIT, init()) if draw.random() < 0.4 else program(draw, INIT, init()))
    if draw.random() < 0.4:
        config["Entrypoint"] = [INIT, "--", APP]
    if draw.random() < 0.7:
        files += BASE
    if draw.random() < 0.2:
        config["Cmd"] = config.pop("Entrypoint")
    config["User"] = draw.choice(USERS)
    return images.layout(directory, layer(*files), **config)


def with_capabilities(layout: pathlib.Path, path: str, capabilities: FileCapabilities, directory: pathlib.Path) -> pathlib.Path:
    """Returns an image with other capabilities on one of its files, in the directory `directory`."""
    manifest, config = layouts.manifest(layout), layouts.config(layout)["config"]
    blobs = [layouts.blob(layout, descriptor) for descriptor in manifest["layers"]]
    for blob in reversed(blobs):
        with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
            names = {"/" + entry.name: entry for entry in archive}
            if entry := names.get(path):
                opened = archive.extractfile(entry)
                assert opened
                changed = layer(File(path, opened.read(), capabilities, entry.mode, entry.uid))
                return images.layout(directory, *blobs, changed, **config)
    raise AssertionError(f"{path} is not in the image")


def pause(directory: pathlib.Path) -> pathlib.Path:
    """Returns an image whose program waits."""
    return images.layout(directory, layer(File("/report", report())), Entrypoint=["/report", "pause"])


def describe(layout: pathlib.Path) -> str:
    """Returns what an image is, in a line."""
    config = layouts.config(layout)["config"]
    manifest = layouts.manifest(layout)
    parts = [json.dumps(config)]
    for descriptor in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(layouts.blob(layout, descriptor))) as archive:
            for entry in archive:
                data = entry.pax_headers.get(images.RECORD)
                value = from_xattr(data.encode("utf-8", "surrogateescape")) if data else None
                parts.append(f"/{entry.name} {entry.mode:o} {entry.uid} {value.to_text() if value else ''} {value.rootid if value else ''}")
    return "; ".join(parts)
