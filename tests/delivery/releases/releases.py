"""Runs releases of this package against registries on this machine."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
from typing import Any

from support import registry as registries
from support import require

HERE = pathlib.Path("tests/delivery/releases").absolute()
NAMES = ("api", "archive", "index", "web")


class Shell:
    """A user who releases: a home directory, and a directory for PATH with one client."""

    def __init__(self, directory: pathlib.Path, client: str = "crane") -> None:
        """Makes the directories below `directory`."""
        self.directory = directory
        self.path = directory / "bin"
        self.path.mkdir(parents=True)
        (self.path / client).symlink_to(require.tool(client))
        (directory / "tmp").mkdir()

    def start(self, *flags: str, target: str = "release", **environment: str) -> subprocess.Popen[str]:
        """Starts a release.

        Args:
          *flags: its flags.
          target: the target of this package.
          **environment: further variables.
        """
        variables = {
            "PATH": str(self.path),
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory / "tmp"),
            "BUILD_WORKING_DIRECTORY": str(self.directory),
        }
        return subprocess.Popen(
            [str(HERE / target), *flags],
            env=variables | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def run(self, *flags: str, target: str = "release", **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a release, and checks that it leaves no temporary file; arguments as for start()."""
        with self.start(*flags, target=target, **environment) as process:
            try:
                stdout, stderr = process.communicate(timeout=120)
            finally:
                process.kill()
        assert not list((self.directory / "tmp").iterdir())
        assert "Traceback" not in stderr
        return subprocess.CompletedProcess(flags, process.returncode, stdout, stderr)

    def read_digests(self, name: str = "digests.json") -> list[dict[str, Any]]:
        """Returns the images of a file of digests."""
        return json.loads((self.directory / name).read_text())["images"]

    def delete_digests(self) -> None:
        """Deletes the file of digests, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            (self.directory / "digests.json").unlink()


def list_statuses(output: str) -> dict[str, str]:
    """Returns the status of each image of the table on stdout, by the last part of its repository."""
    rows = [line.split() for line in output.splitlines()[:-1]]
    return {row[1].partition("@")[0].rpartition("/")[2]: row[0] for row in rows}


def list_tags(registry: registries.Registry, path: str) -> list[str]:
    """Returns the tags of all repositories below a path in a registry."""
    return [tag for name in NAMES for tag in registry.tags(f"{path}/team/{name}")]
