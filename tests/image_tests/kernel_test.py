"""kubernetes_test passes exactly if a container that runs with the same settings gets its capabilities."""

from __future__ import annotations

import itertools
import pathlib

import pytest

from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.engines import parse_engine
from rules_setcap.containers.kubernetes import find_container, read_pods
from rules_setcap.containers.process import compute_initial_process
from rules_setcap.image_tests.kubernetes_manifests import check_manifests, parse_test_attributes
from rules_setcap.oci import image_reader
from support.container import Bundle

MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {{name: web}}
spec:
  containers:
    - name: web
      image: registry.example/web:1
      securityContext: {{{context}}}
"""
ASSIGNED = {"effective": ("net_bind_service", "bpf"), "permitted": ("net_bind_service", "bpf"), "none": ()}
ADD = ["", "NET_BIND_SERVICE", "BPF", "NET_BIND_SERVICE, BPF"]
ESCALATION = ["", "allowPrivilegeEscalation: false, ", "allowPrivilegeEscalation: true, "]
USERS = ["", "runAsUser: 1000, ", "runAsUser: 0, "]
RUNTIMES = ["containerd", "cri-o"]


@pytest.fixture(scope="module", params=ASSIGNED)
def image(request, tmp_path_factory):
    """Returns the kind of the capabilities, the image as the test reads it, and the image as a container."""
    layout = pathlib.Path("tests/runtime") / f"probe_{request.param}"
    return request.param, image_reader.read_images(str(layout)), Bundle(layout, tmp_path_factory.mktemp("image"))


def _list_names(mask: int) -> list[str]:
    return [name.upper() for bit, name in enumerate(NAMES) if mask >> bit & 1]


def test_every_verdict_agrees_with_the_kernel(image, tmp_path):
    name, images, bundle = image
    verdicts = set()
    for add, escalation, user, drop, kind in itertools.product(ADD, ESCALATION, USERS, ["", "drop: [ALL], "], RUNTIMES):
        text = MANIFEST.format(context=f"{escalation}{user}capabilities: {{{drop}add: [{add}]}}")
        path = tmp_path / "pod.yaml"
        path.write_text(text)
        findings = check_manifests(images, [str(path)], parse_test_attributes("registry.example/web", kind, "privileged"))
        settings = find_container(read_pods(text.encode(), "pod.yaml", kind), "web").settings
        before = compute_initial_process(settings, parse_engine(kind), images[0].config["config"]["User"], images[0].users)
        outcome = bundle.run(
            bounding=_list_names(before.bounding),
            permitted=_list_names(before.permitted),
            no_new_privs=before.no_new_privs,
            uid=before.uid,
        )
        assert not before.inheritable and not before.ambient
        # The capabilities of the file; if it has none, those that the manifest grants by name.
        needed = sum(
            1 << NAMES.index("cap_" + capability.lower()) for capability in ASSIGNED[name] or filter(None, add.split(", "))
        )
        permitted = next((int(line.split()[1], 16) for line in outcome.output.splitlines() if line.startswith("CapPrm:")), None)
        starts = outcome.status == 0
        assert starts == (permitted is not None), outcome
        passes = starts and permitted & needed == needed
        assert passes == (not findings), (text, findings, outcome)
        assert any("does not start" in finding for finding in findings) == (not starts), (text, findings, outcome)
        verdicts.add((passes, starts))
    assert (
        verdicts
        >= {
            "effective": {(True, True), (False, False)},
            "permitted": {(True, True), (False, True)},
            "none": {(True, True), (False, True)},
        }[name]
    )


def test_an_image_that_no_container_runs_is_a_finding(image, tmp_path):
    path = tmp_path / "pod.yaml"
    path.write_text(MANIFEST.format(context=""))
    attributes = parse_test_attributes("registry.example/other", "containerd", "privileged")
    (finding,) = check_manifests(image[1], [str(path)], attributes)
    assert (
        finding
        == 'image_name: "registry.example/other": no container of the manifests runs it; they run "registry.example/web:1"'
    )
