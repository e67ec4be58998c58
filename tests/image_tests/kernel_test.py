"""What kubernetes_test says of a manifest is what happens when the container runs with the same settings."""

from __future__ import annotations

import itertools
import pathlib

import pytest

from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.engines import parse_engine
from rules_setcap.containers.kubernetes import find_container, read_pods
from rules_setcap.containers.process import compute_initial_process
from rules_setcap.image_tests.manifests import check, parse_attributes
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
WANTED = {"effective": ("net_bind_service", "bpf"), "permitted": ("net_bind_service", "bpf"), "none": ()}
ADD = ["", "NET_BIND_SERVICE", "BPF", "NET_BIND_SERVICE, BPF"]
ESCALATION = ["", "allowPrivilegeEscalation: false, ", "allowPrivilegeEscalation: true, "]
USERS = ["", "runAsUser: 1000, ", "runAsUser: 0, "]
RUNTIMES = ["containerd", "cri-o"]


@pytest.fixture(scope="module", params=WANTED)
def image(request, tmp_path_factory):
    layout = pathlib.Path("tests/runtime") / f"probe_{request.param}"
    return request.param, image_reader.read_images(str(layout)), Bundle(layout, tmp_path_factory.mktemp("image"))


def _names(mask: int) -> list[str]:
    return [name.upper() for bit, name in enumerate(NAMES) if mask >> bit & 1]


def test_every_verdict_is_what_happens(image, tmp_path):
    name, found, bundle = image
    verdicts = set()
    for add, escalation, user, drop, kind in itertools.product(ADD, ESCALATION, USERS, ["", "drop: [ALL], "], RUNTIMES):
        text = MANIFEST.format(context=f"{escalation}{user}capabilities: {{{drop}add: [{add}]}}")
        path = tmp_path / "pod.yaml"
        path.write_text(text)
        said = check(found, [str(path)], parse_attributes("registry.example/web", kind, "privileged"))
        settings = find_container(read_pods(text.encode(), "pod.yaml", kind), "web").settings
        before = compute_initial_process(settings, parse_engine(kind), found[0].config["config"]["User"], found[0].users)
        outcome = bundle.run(
            bounding=_names(before.bounding),
            permitted=_names(before.permitted),
            no_new_privs=before.no_new_privs,
            uid=before.uid,
        )
        assert not before.inheritable and not before.ambient
        # What the file asks for, or, where it asks for nothing, what the manifest grants by name.
        wanted = sum(1 << NAMES.index("cap_" + each.lower()) for each in WANTED[name] or filter(None, add.split(", ")))
        got = next((int(line.split()[1], 16) for line in outcome.output.splitlines() if line.startswith("CapPrm:")), None)
        starts = outcome.status == 0
        assert starts == (got is not None), outcome
        right = starts and got & wanted == wanted
        assert right == (not said), (text, said, outcome)
        assert any("does not start" in line for line in said) == (not starts), (text, said, outcome)
        verdicts.add((right, starts))
    assert verdicts >= {"effective": {(True, True), (False, False)}, "permitted": {(True, True), (False, True)}, "none": {(True, True), (False, True)}}[name]


def test_an_image_that_no_container_runs(image, tmp_path):
    path = tmp_path / "pod.yaml"
    path.write_text(MANIFEST.format(context=""))
    attributes = parse_attributes("registry.example/other", "containerd", "privileged")
    (finding,) = check(image[1], [str(path)], attributes)
    assert finding == 'image_name: "registry.example/other": no container of the manifests runs it; they run \"registry.example/web:1\"'
