"""`getcap explain` predicts the processes of docker and podman command lines."""

from __future__ import annotations

import os
import random
import shlex
from collections.abc import Iterator

import comparison
import fixes
import pytest
import random_commands
import samples

from rules_setcap.capabilities import from_text
from support import commands, machine
from support import image as images

_COUNT = 100
_FILES = {
    "none": None,
    "permitted": "cap_net_bind_service,cap_bpf=p",
    "effective": "cap_net_bind_service,cap_bpf=ep",
    "empty": "=",
}
# Flags of the tests of `getcap explain`, and forms that users write. IMAGE is the place of the image, by default the end.
_LINES = [
    "",
    "--cap-drop=ALL --cap-add=NET_BIND_SERVICE",
    "--cap-drop=ALL --cap-add=NET_BIND_SERVICE --cap-add=BPF",
    "--cap-drop=ALL --cap-add=NET_BIND_SERVICE --cap-add=BPF --security-opt=no-new-privileges",
    "--cap-add=all --cap-drop net_bind_service",
    "--cap-drop NET_BIND_SERVICE",
    "--privileged",
    "--user 0 --cap-drop ALL",
    "--user root",
    "--user app",
    "--user 1000:staff",
    "--group-add staff",
    "--user 1000 --cap-add NET_RAW",
    "--init --cap-add BPF",
    "--cap-add BPF --entrypoint /sbin/tini IMAGE -- /app/probe",
    "--cap-add NET_BIND",
    "--cap-add CAP_BPF,NET_ADMIN",
    "--sysctl=net.ipv4.ip_unprivileged_port_start=0 --network=host",
    "--user 4294967294",
]


@pytest.fixture(scope="module", params=["docker", "podman"])
def client(request) -> Iterator[commands.Client]:
    """Yields the client of a running engine."""
    with machine.directory() as state, random_commands.ENGINES[request.param](state) as client:
        yield client


def test_command_lines_run_as_explained(client, tmp_path):
    """Runs every line with every file, in images with and without /etc/passwd."""
    layouts = {}
    for name, text in _FILES.items():
        for base in (samples.BASE, []):
            capabilities = from_text(text) if text else None
            files = [
                samples.File(samples.APP, samples.read_report_program(), capabilities),
                samples.File(samples.INIT, samples.read_init_program()),
                *base,
            ]
            image = f"{name}-{'base' if base else 'scratch'}"
            layouts[image] = images.layout(tmp_path / image, samples.make_layer(*files), Entrypoint=[samples.APP], User="65532")
    client.load({f"docker.io/library/{name}:1": layout for name, layout in layouts.items()})
    cases = []
    for name, layout in layouts.items():
        for flags in _LINES:
            words = flags.replace("IMAGE", f"{name}:1") if "IMAGE" in flags else f"{flags} {name}:1"
            cases.append(fixes.RunCase(layout, shlex.join([client.name, "run", *shlex.split(words)])))
    assert random_commands.run_cases(client, cases)[0] == []


# Flags, and the actions that need no capability under them because of the sysctls of Docker and of podman.
_NETWORKS = {
    "": (["Port80", "PingSocket"], []),
    "--network=none": (["Port80", "PingSocket"], []),
    "--network=host": ([], []),
    "--user=1000:0": (["Port80", "PingSocket"], []),
    "--sysctl=net.ipv4.ip_unprivileged_port_start=80": (["Port80", "PingSocket"], ["Port80"]),
    "--sysctl=net.ipv4.ip_unprivileged_port_start=1024": (["PingSocket"], []),
    "--sysctl=net.ipv4.ping_group_range='1 0'": (["Port80"], []),
    "--sysctl=net.ipv4.ping_group_range='65000 66000'": (["Port80", "PingSocket"], ["PingSocket"]),
}


def test_unneeded_capabilities_are_not_needed(client, tmp_path):
    """A process without effective capabilities can do the actions that the report names, and no others."""
    file = samples.File(samples.APP, samples.read_report_program(), from_text("cap_net_bind_service,cap_net_raw=p"))
    layout = images.layout(tmp_path / "image", samples.make_layer(file), Entrypoint=[samples.APP], User="65532:65532")
    client.load({"docker.io/library/image:1": layout})
    for flags, unneeded in _NETWORKS.items():
        line = f"{client.name} run {flags} --cap-drop=ALL image:1"
        outcome, report = client.run_line(line), comparison.run_explain(layout, "--docker-run", line)
        actions = [action for action, is_unneeded in comparison.list_unneeded(report.content).items() if is_unneeded]
        assert actions == [name for name in ("Port80", "PingSocket") if f"{name}:\t1" in outcome.output], (line, outcome)
        assert actions == unneeded[client.name == "podman"] and "RawSocket:\t0" in outcome.output


@pytest.fixture
def seed() -> int:
    """Returns the seed of the random tests, and prints it."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEED={seed}")
    return seed


def test_random_services_run_as_explained(client, seed, tmp_path):
    """Runs command lines that make the containers of Compose services."""
    if client.name == "docker":
        assert random_commands.run_services(client, int(os.environ.get("COUNT") or _COUNT) // 2, seed, tmp_path) == []


def test_random_command_lines_run_as_explained(client, seed, tmp_path):
    cases = random_commands.draw_cases(client, int(os.environ.get("COUNT") or _COUNT), seed, tmp_path)
    assert random_commands.run_cases(client, cases)[0] == []
