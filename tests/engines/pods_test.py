"""`getcap explain` predicts the processes of pods that a kubelet runs with containerd."""

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
_MANIFESTS = [
    *pathlib.Path("tests/unit/containers/kubernetes/manifests").glob("*.yaml"),
    *pathlib.Path("tests/image_tests/manifests").glob("*.yaml"),
]
_ADD = [[], ["NET_BIND_SERVICE"], ["BPF"], ["NET_BIND_SERVICE", "BPF"], ["ALL"]]
_CONTAINERS = 10
"""The number of containers of a pod."""


@pytest.fixture(scope="module")
def kubelet() -> Iterator[kubelets.Kubelet]:
    """Yields a running kubelet."""
    with machine.directory() as state:
        (state / "kubelet").mkdir()
        with kubelets.kubelet(state / "kubelet", samples.make_pause_image(state / "pause")) as kubelet:
            yield kubelet


@pytest.fixture(scope="module")
def layouts(kubelet, tmp_path_factory) -> dict[str, pathlib.Path]:
    """Returns images with each kind of capabilities on the program, with and without an init before it, by name."""
    layouts = {}
    for name, text in _FILES.items():
        for chain in ([samples.APP], [samples.INIT, "--", samples.APP]):
            capabilities = from_text(text) if text else None
            files = [
                samples.File(samples.APP, samples.read_report_program(), capabilities),
                samples.File(samples.INIT, samples.read_init_program()),
                *samples.BASE,
            ]
            image = f"{name}{len(chain)}"
            directory = tmp_path_factory.mktemp("images") / image
            layouts[f"docker.io/library/{image}:1"] = images.layout(
                directory, samples.make_layer(*files), Entrypoint=chain, User="65532"
            )
    kubelet.load(layouts)
    return layouts


def _make_pod(name: str, containers: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    """Returns a pod; its containers get names."""
    for number, container in enumerate(containers):
        container |= {"name": f"c{number}", "imagePullPolicy": "Never"}
    metadata = {"name": name, "namespace": "default"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {**spec, "containers": containers, "restartPolicy": "Never"},
    }


def test_containers_run_as_explained(kubelet, layouts, tmp_path):
    """Runs all combinations of the fields of a securityContext about capabilities that //tests/image_tests:kernel_test has."""
    containers = []
    for image, add, drop, escalation, user in itertools.product(layouts, _ADD, ([], ["ALL"]), (None, False), (None, 0)):
        context: dict[str, Any] = {"capabilities": {"add": add, "drop": drop}}
        if escalation is not None:
            context["allowPrivilegeEscalation"] = escalation
        if user is not None:
            context["runAsUser"] = user
        containers.append({"image": image, "securityContext": context})
    batches = [containers[start : start + _CONTAINERS] for start in range(0, len(containers), _CONTAINERS)]
    pods = [_make_pod(f"grants{number}", batch) for number, batch in enumerate(batches)]
    assert random_pods.run_pods(kubelet, pods, layouts, tmp_path)[0] == []


def _find_pod_specs(value: Any) -> Iterator[dict[str, Any]]:
    """Yields the PodSpecs in an object of the Kubernetes API."""
    if isinstance(value, list):
        for item in value:
            yield from _find_pod_specs(item)
    elif isinstance(value, dict):
        if isinstance(value.get("containers"), list):
            yield value
        else:
            for item in value.values():
                yield from _find_pod_specs(item)


_KEPT_FIELDS = ("securityContext", "hostNetwork", "hostUsers", "hostPID", "hostIPC")
"""The fields of a PodSpec that decide about capabilities. Others may need Secrets and volumes, which static pods cannot have."""


def test_containers_of_manifests_run_as_explained(kubelet, layouts, tmp_path):
    """Runs the containers of all manifests of the tests, each with every image of these tests in place of its own."""
    pods = []
    for number, file in enumerate(_MANIFESTS):
        for index, spec in enumerate(
            spec for document in yaml.safe_load_all(file.read_text()) for spec in _find_pod_specs(document)
        ):
            members = [*spec.get("initContainers", ()), *spec["containers"]]
            containers = [{"image": image, **_copy_security_context(member)} for member in members for image in layouts]
            kept = {name: spec[name] for name in _KEPT_FIELDS if name in spec}
            if "securityContext" in kept:
                kept["securityContext"] = _remove_impossible_fields(kept["securityContext"])
            pods.append(_make_pod(f"manifest{number}-{index}", containers, **kept))
    assert len(pods) > 8
    assert random_pods.run_pods(kubelet, pods, layouts, tmp_path)[0] == []


def _copy_security_context(container: dict[str, Any]) -> dict[str, Any]:
    """Returns the securityContext of a container as a field; no field if it has none."""
    context = container.get("securityContext")
    return {"securityContext": _remove_impossible_fields(context)} if context else {}


def _remove_impossible_fields(context: dict[str, Any]) -> dict[str, Any]:
    """Returns a securityContext without the security modules and the capabilities that this machine lacks."""
    possible = {name: value for name, value in context.items() if name not in ("appArmorProfile", "seLinuxOptions")}
    if "capabilities" in possible:
        available = {
            name.removeprefix("cap_").upper() for bit, name in enumerate(NAMES) if comparison.read_bounding_set() >> bit & 1
        }
        added = [name for name in possible["capabilities"].get("add", ()) if name in available or name == "ALL"]
        possible["capabilities"] = {**possible["capabilities"], "add": added}
    return possible


def test_unneeded_capabilities_are_not_needed(kubelet, tmp_path):
    """A process without effective capabilities can do the actions that the report names, and no others.

    The group of the process is not that of the image.
    """
    file = samples.File(samples.APP, samples.read_report_program(), from_text("cap_net_bind_service,cap_net_raw=p"))
    layouts = {
        "docker.io/library/sysctls:1": images.layout(
            tmp_path / "sysctls", samples.make_layer(file), Entrypoint=[samples.APP], User="1000:1000"
        )
    }
    kubelet.load(layouts)
    ports, pings = "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"
    specs: dict[str, tuple[dict[str, Any], list[str]]] = {
        "own": ({}, ["Port80", "PingSocket"]),
        "host": ({"hostNetwork": True}, []),
        "root": (
            {"securityContext": {"sysctls": [{"name": ports, "value": "81"}, {"name": pings, "value": "0 0"}]}},
            ["PingSocket"],
        ),
        "others": ({"securityContext": {"sysctls": [{"name": pings, "value": "1 2000"}]}}, ["Port80"]),
    }
    pods = {name: _make_pod(name, [{"image": next(iter(layouts))}], **spec) for name, (spec, _) in specs.items()}
    outcomes = kubelet.run(pods)
    for name, pod in pods.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(pod))
        unneeded = comparison.list_unneeded(
            comparison.run_explain(next(iter(layouts.values())), "--kubernetes", str(path)).content
        )
        output = outcomes[name]["c0"].output
        assert [action for action, is_unneeded in unneeded.items() if is_unneeded] == specs[name][1], name
        assert [action for action in unneeded if f"{action}:\t1" in output] == specs[name][1], (name, output)


def test_random_pods_run_as_explained(kubelet, tmp_path):
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEED={seed}")
    pods, drawn = random_pods.draw_pods(int(os.environ.get("COUNT") or _COUNT), seed, tmp_path)
    kubelet.load(drawn)
    assert random_pods.run_pods(kubelet, pods, drawn, tmp_path)[0] == []
