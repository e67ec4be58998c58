"""Images for the comparison with container engines, drawn at random."""

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


def read_report_program() -> bytes:
    """Returns the program of report.c, which prints the credentials of its process."""
    return REPORT.read_bytes()


def read_init_program() -> bytes:
    """Returns the static tini of this machine."""
    return pathlib.Path(require.tool("tini-static")).read_bytes()


def make_layer(*files: File) -> bytes:
    """Returns a layer of files, as a tar."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            info = tarfile.TarInfo(file.path.strip("/"))
            info.mode, info.size, info.uid = file.mode, len(file.content), file.uid
            if file.capabilities is not None:
                info.pax_headers[images.RECORD] = file.capabilities.to_xattr().decode("utf-8", "surrogateescape")
            archive.addfile(info, io.BytesIO(file.content))
    return output.getvalue()


def draw_capability_text(draw: random.Random) -> str | None:
    """Draws the capabilities of a file as text; None for none."""
    if draw.random() < 0.25:
        return None
    names = ",".join("cap_" + name for name in draw.sample(NAMES, draw.choice([1, 1, 1, 2, 3])))
    return draw.choice([f"{names}=p", f"{names}=ep", f"{names}=ep", f"{names}=ei", f"{names}=eip", f"{names}=i", "="])


def draw_program(draw: random.Random, path: str, content: bytes) -> File:
    """Draws the capabilities, the set-ID bits and the owner of a program.

    Args:
      draw: the source of chance.
      path: the path of the program.
      content: the program.
    """
    if draw.random() < 0.12:
        return File(path, content, None, draw.choice([0o4755, 0o2755, 0o6755]), draw.choice([0, 0, 1000]))
    drawn = draw_capability_text(draw)
    assigned = from_text(drawn) if drawn is not None else None
    if assigned and draw.random() < 0.05:
        assigned = FileCapabilities(assigned.permitted, assigned.inheritable, assigned.effective, 1000)
    return File(path, content, assigned, 0o755 if draw.random() < 0.9 else 0o4755)


def draw_image(draw: random.Random, directory: pathlib.Path) -> pathlib.Path:
    """Draws an image: a program with or without an init before it, a user, and maybe the files of a base image."""
    files = [draw_program(draw, APP, read_report_program()), draw_program(draw, OTHER, read_report_program())]
    config: dict[str, object] = {"Entrypoint": [APP]}
    files.append(File(INIT, read_init_program()) if draw.random() < 0.4 else draw_program(draw, INIT, read_init_program()))
    if draw.random() < 0.4:
        config["Entrypoint"] = [INIT, "--", APP]
    if draw.random() < 0.7:
        files += BASE
    if draw.random() < 0.2:
        config["Cmd"] = config.pop("Entrypoint")
    config["User"] = draw.choice(USERS)
    return images.layout(directory, make_layer(*files), **config)


def copy_with_capabilities(
    layout: pathlib.Path, path: str, capabilities: FileCapabilities, directory: pathlib.Path
) -> pathlib.Path:
    """Copies an image to `directory`, with other capabilities on one of its files; returns the copy."""
    manifest, config = layouts.manifest(layout), layouts.config(layout)["config"]
    blobs = [layouts.blob(layout, descriptor) for descriptor in manifest["layers"]]
    for blob in reversed(blobs):
        with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
            names = {"/" + entry.name: entry for entry in archive}
            if entry := names.get(path):
                opened = archive.extractfile(entry)
                assert opened
                changed = make_layer(File(path, opened.read(), capabilities, entry.mode, entry.uid))
                return images.layout(directory, *blobs, changed, **config)
    raise AssertionError(f"{path} is not in the image")


def make_pause_image(directory: pathlib.Path) -> pathlib.Path:
    """Makes an image whose program waits, for the sandbox of a pod."""
    return images.layout(directory, make_layer(File("/report", read_report_program())), Entrypoint=["/report", "pause"])


def describe_image(layout: pathlib.Path) -> str:
    """Returns the config and the files of an image in one line, for messages."""
    config = layouts.config(layout)["config"]
    manifest = layouts.manifest(layout)
    parts = [json.dumps(config)]
    for descriptor in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(layouts.blob(layout, descriptor))) as archive:
            for entry in archive:
                data = entry.pax_headers.get(images.RECORD)
                value = from_xattr(data.encode("utf-8", "surrogateescape")) if data else None
                parts.append(
                    f"/{entry.name} {entry.mode:o} {entry.uid} {value.to_text() if value else ''} {value.rootid if value else ''}"
                )
    return "; ".join(parts)
