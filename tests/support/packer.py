"""The programs of build actions, run as the rules run them: by an interpreter in isolation."""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import subprocess
import sys
from typing import Any, Mapping, NamedTuple, Sequence

LAUNCH = pathlib.Path("tools/launch.py").absolute()
ISOLATED = ("-S", "-E", "-s", "-B", "-X", "utf8")
_PACKAGES = ("packer", "oci", "validation", "delivery")
TARGET = "//app:image"


class Done(NamedTuple):
    """What a run of the packer left behind."""

    status: int
    stderr: str


def command_line(subcommand: str, python: str = sys.executable) -> list[str]:
    """Returns the words that start the program of a subcommand; the program's arguments follow them."""
    commands = _commands_of(subcommand)
    program = "rules_setcap.delivery.commands" if "delivery" in commands else commands.removesuffix(".commands")
    return [python, *ISOLATED, str(LAUNCH), program, ""]


def run_here(lines: Sequence[str]) -> tuple[int, str]:
    """Runs a subcommand in this process; returns its exit code and its messages."""
    from rules_setcap.actions import command

    return command.run_action(_commands_of(lines[0]), list(lines))


def _commands_of(subcommand: str) -> str:
    """Returns the package that has a subcommand; that of the packer if none has it."""
    for package in (f"rules_setcap.{room}.commands" for room in _PACKAGES):
        if subcommand in importlib.import_module(package).NAMES:
            return package
    return "rules_setcap.packer.commands"


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
        [*command_line(subcommand, python), "@arguments"],
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


def assign(path: str, *words: str, attribute: str = "file_capabilities") -> str:
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
