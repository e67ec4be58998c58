"""Tests that every flag in the help of docker and podman is known, and whether it takes a value."""

from __future__ import annotations

import re
import subprocess

import pytest

from rules_setcap.containers.docker import flags
from support import require

# Flags that the help leaves out: hidden ones, and those of old releases, of Windows or of "create" only.
HIDDEN = {
    "docker": set("cpu-count cpu-percent disable-content-trust help io-maxbandwidth io-maxiops isolation kernel-memory".split()),
    "podman": set("init-ctr kernel-memory signature-policy storage-opt".split()),
}


def _read_help(*command: str) -> dict[str, tuple[str, bool]]:
    """Returns the flags in the help of a command: by name, the letter, and whether the flag takes a value."""
    lines = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout.splitlines()
    flags_by_name = {}
    for line in lines:
        if match := re.match(r" +(?:-(\w), )?--([\w-]+)(?: (\S+))?(?: {2,}|$)", line):
            flags_by_name[match[2]] = (match[1] or "", match[3] is not None)
    return flags_by_name


@pytest.mark.parametrize(
    "known, command",
    [
        (flags.DOCKER, ["docker", "run"]),
        (flags.DOCKER_CREATE, ["docker", "create"]),
        (flags.DOCKER_SERVICE, ["docker", "service", "create"]),
        (flags.DOCKER_GLOBAL, ["docker"]),
        (flags.PODMAN, ["podman", "run"]),
        (flags.PODMAN_CREATE, ["podman", "create"]),
        (flags.PODMAN_GLOBAL, ["podman"]),
    ],
)
def test_every_flag_is_known(known, command):
    shown = _read_help(require.tool(command[0]), *command[1:])
    assert len(shown) > 8
    for name, (letter, value) in shown.items():
        assert name in (known.values if value else known.switches), name
        assert not letter or known.letters[letter] == name
    assert {letter for letter, _ in shown.values()} >= set(known.letters)
    assert (known.switches | known.values) - set(shown) <= HIDDEN[command[0]]
