"""The packer as tests run it, and Go's archive/tar beside it."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
from typing import Any, Dict, Iterable, NamedTuple, Sequence

from packer import cli
from support import require

PACKER = pathlib.Path(cli.__file__).parent
TARGET = "//app:image"
RECORD = "SCHILY.xattr.security.capability"

Json = Dict[str, Any]


class Outcome(NamedTuple):
    """What a run of the packer came to."""

    status: int
    errors: list[str]  # The lines on stderr.


def run(*args: str) -> Outcome:
    """Runs the packer in this process."""
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr):
        status = cli.main(list(args))
    return Outcome(status, stderr.getvalue().splitlines())


class Layer(NamedTuple):
    """A layer that was packed."""

    blob: bytes
    metadata: Json

    @property
    def tar(self) -> bytes:
        """The uncompressed layer."""
        return gzip.decompress(self.blob) if self.blob.startswith(b"\x1f\x8b") else self.blob


def grant(path: str, *words: str, attribute: str = "linux_capabilities") -> str:
    """A value of --capabilities."""
    return json.dumps({"attribute": attribute, "path": path, "capabilities": words})


def layer_args(directory: pathlib.Path, entries: Iterable[Json | str], grants: Sequence[str], *flags: str) -> list[str]:
    """The arguments that pack `entries` (JSON, or lines as they are) into directory/layer and directory/layer.json."""
    lines = [each if isinstance(each, str) else json.dumps(each) for each in entries]
    parameters = directory / "entries"
    parameters.write_text("".join(line + "\n" for line in lines), encoding="utf-8", errors="surrogateescape")
    return [
        "layer",
        f"--target={TARGET}",
        f"--entries={parameters}",
        f"--output={directory / 'layer'}",
        f"--metadata={directory / 'layer.json'}",
        *(f"--capabilities={each}" for each in grants),
        *flags,
    ]


def layer(
    directory: pathlib.Path, entries: Iterable[Json | str], grants: Sequence[str] = (), *flags: str
) -> Layer:
    """Packs a layer, uncompressed unless flags say otherwise."""
    outcome = run(*layer_args(directory, entries, grants, "--compression=none", *flags))
    assert outcome == Outcome(0, [])
    return Layer((directory / "layer").read_bytes(), json.loads((directory / "layer.json").read_bytes()))


def layer_errors(
    directory: pathlib.Path, entries: Iterable[Json | str], grants: Sequence[str] = (), *flags: str
) -> list[str]:
    """What the packer says of a layer that cannot be packed; nothing is left of it."""
    before = set(os.listdir(directory)) | {"entries"}
    outcome = run(*layer_args(directory, entries, grants, *flags))
    assert outcome.status == 1
    assert outcome.errors
    assert set(os.listdir(directory)) == before
    return outcome.errors


def sha256(data: bytes) -> str:
    """The digest of `data` as OCI writes it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Go:
    """Go's archive/tar, by the program in gotar/."""

    def __init__(self) -> None:
        self._program: str | None = None

    def _build(self) -> str:
        if self._program is None:
            go = require.tool("go")
            directory = tempfile.mkdtemp(prefix="gotar")
            self._program = os.path.join(directory, "gotar")
            environment = {
                "CGO_ENABLED": "0",
                "GO111MODULE": "off",
                "GOCACHE": os.path.join(directory, "cache"),
                "GOPATH": os.path.join(directory, "path"),
                "GOTOOLCHAIN": "local",
                "HOME": directory,
                "PATH": os.environ["PATH"],
            }
            source = str(pathlib.Path(__file__).parent / "gotar" / "main.go")
            subprocess.run([go, "build", "-o", self._program, source], env=environment, check=True)
        return self._program

    def archives(self, archives: Iterable[Sequence[Json]]) -> list[bytes]:
        """What Go writes for each list of headers, their fields as in gotar/main.go; bytes are bytes."""
        lines = [json.dumps([_plain(entry) for entry in entries]) + "\n" for entries in archives]
        done = subprocess.run(
            [self._build()], input="".join(lines).encode(), stdout=subprocess.PIPE, check=True
        )
        found, at = [], 0
        for _ in lines:
            (size,) = struct.unpack_from(">q", done.stdout, at)
            found.append(done.stdout[at + 8 : at + 8 + size])
            at += 8 + size
        return found


GO = Go()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value
