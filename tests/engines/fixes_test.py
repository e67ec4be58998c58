"""Every fix that `getcap explain` prints is applied and run: the process then has what its file asks for."""

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
    made = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEED={made}")
    return made


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_command_lines(engine, seed, tmp_path):
    with machine.directory() as state, random_commands.ENGINES[engine](state) as client:
        cases = random_commands.draw(client, int(os.environ.get("COUNT") or _COUNT), seed, tmp_path)
        differing, reports = random_commands.run(client, cases)
        assert differing == []
        assert random_commands.run_fixed(client, cases, reports, tmp_path) == []


def test_pods(seed, tmp_path):
    with machine.directory() as state:
        (state / "kubelet").mkdir()
        pods, layouts = random_pods.draw(int(os.environ.get("COUNT") or _COUNT), seed, tmp_path)
        with kubelets.kubelet(state / "kubelet", samples.pause(state / "pause")) as kubelet:
            kubelet.load(layouts)
            differing, explained = random_pods.run(kubelet, pods, layouts, tmp_path)
            assert differing == []
            assert random_pods.run_fixed(kubelet, explained, tmp_path) == []
