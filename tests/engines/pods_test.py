"""A kubelet runs pods: what `getcap explain` says is what it and containerd do."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import random
from collections.abc import Iterator
from typing import Any

import comparison
import pytest
import random_pods
import samples
import yaml

from rules_setcap.capabilities import from_text
from rules_setcap.capabilities.names import NAMES
from support import image as images
from support import kubelet as kubelets
from support import machine

_COUNT = 200
_FILES = {"none": None, "permitted": "cap_net_bind_service,cap_bpf=p", "effective": "cap_net_bind_service,cap_bpf=ep"}
_MANIFESTS = [*pathlib.Path("tests/unit/containers/kubernetes/manifests").glob("*.yaml"), *pathlib.Path("tests/image_tests/manifests").glob("*.yaml")]
_ADD = [[], ["NET_BIND_SERVICE"], ["BPF"], ["NET_BIND_SERVICE", "BPF"], ["ALL"]]
_CONTAINERS = 10  # Of a pod.


@pytest.fixture(scope="module")
def kubelet() -> Iterator[kubelets.Kubelet]:
    with machine.directory() as state:
        (state / "kubelet").mkdir()
        with kubelets.kubelet(state / "kubelet", samples.pause(state / "pause")) as kubelet:
            yield kubelet


@pytest.fixture(scope="module")
def layouts(kubelet, tmp_path_factory) -> dict[str, pathlib.Path]:
    """Images whose program has some capabilities, alone and behind an init."""
    made = {}
    for name, text in _FILES.items():
        for chain in ([samples.APP], [samples.INIT, "--", samples.APP]):
            known = from_text(text) if text else None
            files = [samples.File(samples.APP, samples.report(), known), samples.File(samples.INIT, samples.init()), *samples.BASE]
            image = f"{name}{len(chain)}"
            directory = tmp_path_factory.mktemp("images") / image
            made[f"docker.io/library/{image}:1"] = images.layout(directory, samples.layer(*files), Entrypoint=chain, User="65532")
    kubelet.load(made)
    return made


def _pod(name: str, containers: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    for number, container in enumerate(containers):
        container |= {"name": f"c{number}", "imagePullPolicy": "Never"}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**spec, "containers": containers, "restartPolicy": "Never"}}


def test_grants(kubelet, layouts, tmp_path):
    """Runs all combinations of what a container's securityContext says about capabilities, as //tests/image_tests:kernel_test has them."""
    containers = []
    for image, add, drop, escalation, user in itertools.product(layouts, _ADD, ([], ["ALL"]), (None, False), (None, 0)):
        context: dict[str, Any] = {"capabilities": {"add": add, "drop": drop}}
        if escalation is not None:
            context["allowPrivilegeEscalation"] = escalation
        if user is not None:
            context["runAsUser"] = user
        containers.append({"image": image, "securityContext": context})
    batches = [containers[start : start + _CONTAINERS] for start in range(0, len(containers), _CONTAINERS)]
    pods = [_pod(f"grants{number}", batch) for number, batch in enumerate(batches)]
    assert random_pods.run(kubelet, pods, layouts, tmp_path)[0] == []


def _templates(value: Any) -> Iterator[dict[str, Any]]:
    """Yields the PodSpecs in an object."""
    if isinstance(value, list):
        for each in value:
            yield from _templates(each)
    elif isinstance(value, dict):
        if isinstance(value.get("containers"), list):
            yield value
        else:
            for each in value.values():
                yield from _templates(each)


_KEPT = ("securityContext", "hostNetwork", "hostUsers", "hostPID", "hostIPC")
"""The fields of a PodSpec that decide about capabilities. Static pods have no Secrets and the like."""


def test_manifests(kubelet, layouts, tmp_path):
    """Runs the containers of all manifests of the tests, each with every image of ours in place of its own."""
    pods = []
    for number, file in enumerate(_MANIFESTS):
        for each, spec in enumerate(spec for document in yaml.safe_load_all(file.read_text()) for spec in _templates(document)):
            members = [*spec.get("initContainers", ()), *spec["containers"]]
            containers = [{"image": image, **_context(member)} for member in members for image in layouts]
            kept = {name: spec[name] for name in _KEPT if name in spec}
            if "securityContext" in kept:
                kept["securityContext"] = _possible(kept["securityContext"])
            pods.append(_pod(f"manifest{number}-{each}", containers, **kept))
    assert len(pods) > 8
    assert random_pods.run(kubelet, pods, layouts, tmp_path)[0] == []


def _context(container: dict[str, Any]) -> dict[str, Any]:
    context = container.get("securityContext")
    return {"securityContext": _possible(context)} if context else {}


def _possible(context: dict[str, Any]) -> dict[str, Any]:
    """Returns a securityContext without security modules and capabilities that this machine lacks."""
    made = {name: value for name, value in context.items() if name not in ("appArmorProfile", "seLinuxOptions")}
    if "capabilities" in made:
        known = {name.removeprefix("cap_").upper() for bit, name in enumerate(NAMES) if comparison.limit() >> bit & 1}
        added = [name for name in made["capabilities"].get("add", ()) if name in known or name == "ALL"]
        made["capabilities"] = {**made["capabilities"], "add": added}
    return made


def test_ports_and_pings(kubelet, tmp_path):
    """A process without effective capabilities can do what the report says, and no more. Its group is not that of the image."""
    file = samples.File(samples.APP, samples.report(), from_text("cap_net_bind_service,cap_net_raw=p"))
    layouts = {"docker.io/library/sysctls:1": images.layout(tmp_path / "sysctls", samples.layer(file), Entrypoint=[samples.APP], User="1000:1000")}
    kubelet.load(layouts)
    ports, pings = "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"
    specs: dict[str, tuple[dict[str, Any], list[str]]] = {
        "own": ({}, ["Port80", "PingSocket"]),
        "host": ({"hostNetwork": True}, []),
        "root": ({"securityContext": {"sysctls": [{"name": ports, "value": "81"}, {"name": pings, "value": "0 0"}]}}, ["PingSocket"]),
        "others": ({"securityContext": {"sysctls": [{"name": pings, "value": "1 2000"}]}}, ["Port80"]),
    }
    pods = {name: _pod(name, [{"image": next(iter(layouts))}], **spec) for name, (spec, _) in specs.items()}
    outcomes = kubelet.run(pods)
    for name, pod in pods.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(pod))
        said = comparison.unneeded(comparison.explain(next(iter(layouts.values())), "--kubernetes", str(path)).content)
        output = outcomes[name]["c0"].output
        assert [line for line, needless in said.items() if needless] == specs[name][1], name
        assert [line for line in said if f"{line}:\t1" in output] == specs[name][1], (name, output)


def test_random_pods(kubelet, tmp_path):
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEED={seed}")
    pods, drawn = random_pods.draw(int(os.environ.get("COUNT") or _COUNT), seed, tmp_path)
    kubelet.load(drawn)
    assert random_pods.run(kubelet, pods, drawn, tmp_path)[0] == []
