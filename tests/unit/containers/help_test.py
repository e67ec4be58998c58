"""Every flag that the engines' own help shows is known, and whether it takes a value."""

from __future__ import annotations

import re
import subprocess

import pytest

from rules_setcap.containers.docker import flags
from support import require

# What the help leaves out: hidden, of old releases, for Windows alone, or of "create" alone.
HIDDEN = {
    "docker": set("cpu-count cpu-percent disable-content-trust help io-maxbandwidth io-maxiops isolation kernel-memory".split()),
    "podman": set("init-ctr kernel-memory signature-policy storage-opt".split()),
}


def _help(*command: str) -> dict[str, tuple[str, bool]]:
    """The flags of a command's help: name to letter, and whether it takes a value."""
    lines = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout.splitlines()
    found = {}
    for line in lines:
        if match := re.match(r" +(?:-(\w), )?--([\w-]+)(?: (\S+))?(?: {2,}|$)", line):
            found[match[2]] = (match[1] or "", match[3] is not None)
    return found


@pytest.mark.parametrize(
    "known, command",
    [
        (flags.DOCKER, ["docker", "run"]),
        (flags.DOCKER_SERVICE, ["docker", "service", "create"]),
        (flags.DOCKER_GLOBAL, ["docker"]),
        (flags.PODMAN, ["podman", "run"]),
        (flags.PODMAN_GLOBAL, ["podman"]),
    ],
)
def test_every_flag_is_known(known, command):
    helped = _help(require.tool(command[0]), *command[1:])
    assert len(helped) > 8
    for name, (letter, value) in helped.items():
        assert name in (known.values if value else known.switches), name
        assert not letter or known.letters[letter] == name
    assert {letter for letter, _ in helped.values()} >= set(known.letters)
    assert (known.switches | known.values) - set(helped) <= HIDDEN[command[0]]
