"""Runs docker and podman with command lines as users type them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence

from support import engines, podman, require, saved
from support.machine import Machine, machine
from support.outcome import Outcome

_NOT_STARTED = (125, 126, 127)


class Client:
    """A client of an engine that runs in a machine.

    Attributes:
      machine: the machine that the engine runs in.
      name: "docker" or "podman".
      host: the address of Docker's daemon; "" for podman.
    """

    def __init__(
        self,
        inside: Machine,
        name: str,
        program: Sequence[str],
        state: pathlib.Path,
        environment: Mapping[str, str],
        host: str = "",
    ) -> None:
        self.machine = inside
        self.name, self.host = name, host
        self._program, self._state = list(program), state
        self._environment = {**os.environ, **environment, "HOME": str(state), "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
        self._archives = 0

    def call(self, arguments: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
        """Runs a command of the client."""
        return self.machine.run([*self._program, *arguments], env=self._environment, capture_output=True, timeout=120, **options)

    def load(self, layouts_by_name: Mapping[str, pathlib.Path]) -> None:
        """Loads images."""
        self._archives += 1
        archive = saved.write_archive(layouts_by_name, self._state / f"images{self._archives}.tar")
        done = self.call(["load", "--input", str(archive)])
        assert done.returncode == 0, done.stderr
        archive.unlink()

    def run(self, arguments: Sequence[str]) -> Outcome:
        """Runs a container with `docker run --rm`.

        Args:
          arguments: the words after `run`.
        """
        flags = [f"--cgroup-parent={self.machine.cgroup}"] if self.name == "podman" else []
        done = self.call(["run", "--rm", *flags, *arguments])
        # A program in the container may end with the same exit statuses, so the beginning of the engine's messages decides.
        prefixes = f"{self.name}: ", "Error: ", "unknown flag", "invalid "
        if done.returncode in _NOT_STARTED and any(line.startswith(prefixes) for line in done.stderr.splitlines()):
            return Outcome(done.stdout, done.stderr)
        return Outcome(done.stdout + done.stderr, "", done.returncode)

    def run_line(self, line: str) -> Outcome:
        """Runs a command line, such as `docker run ...`."""
        words = shlex.split(line)
        assert words[:2] == [self.name, "run"], line
        return self.run(words[2:])


@contextlib.contextmanager
def docker(state: pathlib.Path, driver: str = "overlay2") -> Iterator[Client]:
    """Starts Docker Engine in a machine, and yields its client.

    Args:
      state: an empty directory with a short path.
      driver: the storage driver, as for engines.dockerd().
    """
    for name in ("machine", "docker"):
        (state / name).mkdir()
    with machine(state / "machine") as inside, engines.dockerd(driver, state / "docker", inside) as socket:
        program, environment = [require.tool("docker"), "--host", f"unix://{socket}"], {"DOCKER_CONFIG": str(state / "config")}
        yield Client(inside, "docker", program, state, environment, f"unix://{socket}")


@contextlib.contextmanager
def podman_client(state: pathlib.Path, driver: str = "overlay") -> Iterator[Client]:
    """Yields a client of podman in a machine.

    Args:
      state: an empty directory with a short path.
      driver: the storage driver.
    """
    for name in ("machine", "podman"):
        (state / name).mkdir()
    with machine(state / "machine") as inside:
        init = require.tool("tini-static")
        (state / "containers.conf").write_text(
            f'[containers]\ninit_path = "{init}"\nlog_driver = "k8s-file"\nnetns = "none"\n[engine]\ncgroup_manager = "cgroupfs"\n'
        )
        program = podman.write_program(state / "podman", driver)
        yield Client(inside, "podman", [str(program)], state, {"CONTAINERS_CONF": str(state / "containers.conf")})
