"""Runs the commands of build actions as the rules do: with an isolated interpreter."""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

LAUNCH = pathlib.Path("tools/launch.py").absolute()
ISOLATED = ("-S", "-E", "-s", "-B", "-X", "utf8")
_PACKAGES = ("packer", "oci", "validation", "delivery")
TARGET = "//app:image"


class Done(NamedTuple):
    """The result of a command."""

    status: int
    stderr: str


def command_line(command_name: str, python: str = sys.executable) -> list[str]:
    """Returns the words that start the tool that has a command; the arguments of the tool follow them."""
    commands = _find_package(command_name)
    program = "rules_setcap.delivery.commands" if "delivery" in commands else commands.removesuffix(".commands")
    return [python, *ISOLATED, str(LAUNCH), program, ""]


def run_here(lines: Sequence[str]) -> tuple[int, str]:
    """Runs a command in this process, and returns its exit code and its messages."""
    from rules_setcap.actions import command

    return command.run_action(_find_package(lines[0]), list(lines))


def _find_package(command_name: str) -> str:
    """Returns the package that has a command; that of the packer if the command is unknown."""
    for package in (f"rules_setcap.{room}.commands" for room in _PACKAGES):
        if command_name in importlib.import_module(package).NAMES:
            return package
    return "rules_setcap.packer.commands"


def run(
    command_name: str,
    *flags: str,
    cwd: pathlib.Path,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
) -> Done:
    """Runs a command for TARGET in the directory `cwd`, with its arguments in a file, as the rules do."""
    lines = "".join(line + "\n" for line in (command_name, f"--target={TARGET}", *flags))
    (cwd / "arguments").write_bytes(lines.encode("utf-8", "surrogatepass"))
    done = subprocess.run(
        [*command_line(command_name, python), "@arguments"],
        cwd=cwd,
        env=dict(env or {}),
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout == ""
    return Done(done.returncode, done.stderr)


def make_compression_flags(compression: str) -> list[str]:
    """Returns the flags of a compression.

    Args:
      compression: gzip, by the library that the variable GZIP_LIBRARY names; zlib, which is gzip by zlib; none; zstd.
    """
    if compression == "gzip":
        return ["--compression=gzip", f"--library={pathlib.Path(os.environ['GZIP_LIBRARY']).absolute()}"]
    return [f"--compression={'gzip' if compression == 'zlib' else compression}"]


def assign(path: str, *words: str, attribute: str = "file_capabilities") -> str:
    """Returns the flag that assigns capabilities to a path."""
    return "--capabilities=" + json.dumps({"attribute": attribute, "path": path, "capabilities": words})


def change(attribute: str, path: str, **fields: Any) -> str:
    """Returns the flag that changes the entry at a path."""
    return "--change=" + json.dumps({"attribute": attribute, "path": path, **fields})


class Layer:
    """The entries of a layer, in a directory of its own."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.lines: list[str] = []

    def add(self, path: str, content: bytes | None = None, **fields: Any) -> Layer:
        """Adds an entry. An entry with content gets a source file."""
        if content is not None:
            fields["source"] = f"source{len(self.lines)}"
            (self.directory / fields["source"]).write_bytes(content)
        self.lines.append(json.dumps({"path": path, **fields}))
        return self

    def pack(self, *flags: str, lines: Sequence[str] | None = None, **options: Any) -> Done:
        """Runs the command layer, which writes `blob` and `metadata` in the directory."""
        defaults = {"compression": "gzip", "created-by": "test"}
        names = {flag.partition("=")[0] for flag in flags}
        rest = [f"--{name}={value}" for name, value in defaults.items() if f"--{name}" not in names]
        entries = self.lines if lines is None else lines
        outputs = ("--output=blob", "--metadata=metadata")
        return run("layer", *outputs, *rest, *flags, *entries, cwd=self.directory, **options)

    @property
    def blob(self) -> pathlib.Path:
        return self.directory / "blob"

    def metadata(self) -> dict[str, Any]:
        return json.loads((self.directory / "metadata").read_bytes())

    def outputs(self) -> list[str]:
        """Returns the names of the files in the directory that are not inputs."""
        return sorted(name for name in os.listdir(self.directory) if not name.startswith(("source", "arguments")))
