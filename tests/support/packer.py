"""The packer as the rules run it: its program, by an interpreter in isolation."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any, Mapping, NamedTuple, Sequence

MAIN = pathlib.Path("tools/packer/__main__.py").absolute()
TARGET = "//app:image"


class Done(NamedTuple):
    """What a run of the packer left behind."""

    status: int
    stderr: str


def run(
    subcommand: str,
    *flags: str,
    cwd: pathlib.Path,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
) -> Done:
    """Runs a subcommand for TARGET in `cwd`, with its arguments in a file as the rules give them."""
    lines = "".join(line + "\n" for line in (subcommand, f"--target={TARGET}", *flags))
    (cwd / "arguments").write_bytes(lines.encode("utf-8", "surrogatepass"))
    done = subprocess.run(
        [python, "-S", "-E", "-s", "-B", "-X", "utf8", str(MAIN), "@arguments"],
        cwd=cwd,
        env=dict(env or {}),
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout == ""
    return Done(done.returncode, done.stderr)


def compressed(compression: str) -> list[str]:
    """The flags of a compression; libdeflate's library is the one that BUILD files name in LIBDEFLATE."""
    library = [f"--library={pathlib.Path(os.environ['LIBDEFLATE']).absolute()}"] if compression == "libdeflate" else []
    return [f"--compression={compression}", *library]


def grant(path: str, *words: str, attribute: str = "file_capabilities") -> str:
    """The flag that gives `path` capabilities."""
    return "--capabilities=" + json.dumps({"attribute": attribute, "path": path, "capabilities": words})


def change(attribute: str, path: str, **fields: Any) -> str:
    """The flag that changes the entry at `path`."""
    return "--change=" + json.dumps({"attribute": attribute, "path": path, **fields})


class Layer:
    """A layer in the making, in a directory of its own."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.lines: list[str] = []

    def add(self, path: str, content: bytes | None = None, **fields: Any) -> Layer:
        """Adds an entry; one with content gets a source file."""
        if content is not None:
            fields["source"] = f"source{len(self.lines)}"
            (self.directory / fields["source"]).write_bytes(content)
        self.lines.append(json.dumps({"path": path, **fields}))
        return self

    def pack(self, *flags: str, lines: Sequence[str] | None = None, **options: Any) -> Done:
        """Runs the packer; the blob and its metadata are `blob` and `metadata` in the directory."""
        defaults = {"compression": "gzip", "created-by": "test"}
        given = {flag.partition("=")[0] for flag in flags}
        rest = [f"--{name}={value}" for name, value in defaults.items() if f"--{name}" not in given]
        entries = self.lines if lines is None else lines
        outputs = ("--output=blob", "--metadata=metadata")
        return run("layer", *outputs, *rest, *flags, *entries, cwd=self.directory, **options)

    @property
    def blob(self) -> pathlib.Path:
        return self.directory / "blob"

    def metadata(self) -> dict[str, Any]:
        return json.loads((self.directory / "metadata").read_bytes())

    def outputs(self) -> list[str]:
        """What there is beside the inputs."""
        return sorted(name for name in os.listdir(self.directory) if not name.startswith(("source", "arguments")))
