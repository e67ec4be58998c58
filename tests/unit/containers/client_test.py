"""Tests that compare our parsing of flags with that of the docker command, which needs no engine for it."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules_setcap.containers.docker import flags
from rules_setcap.diagnostics.problems import Problems
from support import require

COMMANDS = {"run": flags.DOCKER, "create": flags.DOCKER_CREATE, "service create": flags.DOCKER_SERVICE}
WORDS = st.sampled_from(
    """
    --name --name=x --user --user=5 --user= -u -u5 -u=5 -u= -ux --entrypoint --entrypoint=x --env -eA=b -e --label -l --workdir -w
    --hostname --cap-add --cap-drop=KILL --init --init=true --read-only -t -i -it -itu -itu5 -q --privileged --privileged=0 --rm
    --detach -d -dt --no-healthcheck --unknown --unknown=x -k -tk -- - x image --security-opt --mode --replicas-max -h -p --net
    """.split()
)


def _refused_by_docker(command: str, words: list[str]) -> bool:
    """Returns whether docker refuses the flags or the missing image. If not, it fails because it finds no engine."""
    finished = subprocess.run(
        [require.tool("docker"), "--host=unix:///nowhere/docker.sock", *command.split(), *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={"HOME": "/nowhere", "PATH": "/usr/bin:/bin"},
    )
    if finished.returncode == 0:
        return True  # docker shows its help for -h, which some commands do not have as an option.
    if "requires at least 1 argument" in finished.stderr or "requires at least 1 argument" in finished.stdout:
        return True
    refused = any(
        text in finished.stderr for text in ("unknown flag", "unknown shorthand", "needs an argument", "invalid argument")
    )
    later = "/nowhere/docker.sock", "invalid reference format", "not a TTY", "Invalid --security-opt"
    assert refused or any(text in finished.stderr for text in later), finished.stderr
    return refused


@pytest.mark.parametrize("command", COMMANDS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(words=st.lists(WORDS, max_size=5))
def test_flags_that_docker_refuses_are_refused(command, words):
    problems = Problems()
    _, arguments = flags.parse_flags(COMMANDS[command], words, problems)
    assert bool(len(problems) or not arguments) == _refused_by_docker(command, words)
