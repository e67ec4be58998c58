"""Every fix that `getcap explain` prints helps: with it, the process has the capabilities that its file asks for."""

from __future__ import annotations

import os
import random

import pytest
import random_commands
import random_pods
import samples

from support import kubelet as kubelets
from support import machine

_COUNT = 60


@pytest.fixture
def seed() -> int:
    """Returns the seed of the random tests, and prints it."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEED={seed}")
    return seed


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_fixes_of_command_lines_help(engine, seed, tmp_path):
    with machine.directory() as state, random_commands.ENGINES[engine](state) as client:
        cases = random_commands.draw_cases(client, int(os.environ.get("COUNT") or _COUNT), seed, tmp_path)
        differences, reports = random_commands.run_cases(client, cases)
        assert differences == []
        assert random_commands.run_fixed_cases(client, cases, reports, tmp_path) == []


def test_fixes_of_pods_help(seed, tmp_path):
    with machine.directory() as state:
        (state / "kubelet").mkdir()
        pods, layouts = random_pods.draw_pods(int(os.environ.get("COUNT") or _COUNT), seed, tmp_path)
        with kubelets.kubelet(state / "kubelet", samples.make_pause_image(state / "pause")) as kubelet:
            kubelet.load(layouts)
            differences, explained = random_pods.run_pods(kubelet, pods, layouts, tmp_path)
            assert differences == []
            assert random_pods.run_fixed_pods(kubelet, explained, tmp_path) == []
