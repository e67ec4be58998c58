"""Tests of the objects in manifests, and of the messages about invalid ones."""

from __future__ import annotations

import pytest
from manifest_texts import make_manifest, read_problems

from rules_setcap.containers.kubernetes import images, manifests, read_pods, select
from rules_setcap.diagnostics.errors import InputError


@pytest.mark.parametrize(
    "text, message",
    [
        (b"", "file.yaml: has no Kubernetes object"),
        (b"# nothing\n---\n---\n", "file.yaml: has no Kubernetes object"),
        (b"text", 'file.yaml:1: "text": not a Kubernetes object; it has apiVersion and kind'),
        (b"services: {}", 'file.yaml:1: "": not a Kubernetes object: it has no kind'),
        (b"kind: Pod", 'file.yaml:1: "": not a Kubernetes object: it has no apiVersion'),
        (b"{apiVersion: v1, kind: [Pod]}", 'file.yaml:1: kind: "a list": not a text'),
        (b"{apiVersion: 1, kind: Pod}", 'file.yaml:1: apiVersion: "1": not a text to YAML; put it in quotes'),
        (b"{apiVersion: apps/v1, kind: Deploymnt}", 'file.yaml:1: kind: "Deploymnt": unknown kind; did you mean "Deployment"?'),
        (b"{apiVersion: v1, kind: Deployment}", 'file.yaml:1: kind: "Deployment": a kind of "apps/v1"; this is "v1"'),
        (
            b"{apiVersion: extensions/v1beta1, kind: Deployment}",
            'file.yaml:1: apiVersion: "extensions/v1beta1": no longer served; write "apps/v1"',
        ),
        (b"{apiVersion: v1, kind: Pod}", 'file.yaml:1: "Pod": has no spec'),
        (b"{apiVersion: batch/v1, kind: CronJob, spec: {}}", 'file.yaml:1: spec: "CronJob": has no jobTemplate'),
        (b"{apiVersion: apps/v1, kind: Deployment, spec: {template: []}}", 'file.yaml:1: spec.template: "a list": not a mapping'),
        (b"{apiVersion: v1, kind: Pod, spec: {}}", 'file.yaml:1: spec: "Pod": has no containers'),
        (b"{apiVersion: v1, kind: Pod, spec: {containers: {}}}", 'file.yaml:1: spec.containers: "a mapping": not a list'),
        (b"{apiVersion: v1, kind: Pod, spec: {containers: [x]}}", 'file.yaml:1: spec.containers[0]: "x": not a mapping'),
        (
            b"{apiVersion: v1, kind: Pod, spec: {containers: [{image: x}]}}",
            'file.yaml:1: spec.containers[0]: "": a container without a name',
        ),
        (
            b"{apiVersion: v1, kind: List, items: [{kind: Pod}]}",
            'file.yaml:1: items[0]: "": not a Kubernetes object: it has no apiVersion',
        ),
        (make_manifest(image="a//b"), None),
        (b"{{ .Values.x }}", None),
        (b"a: &a [*a]", None),
    ],
)
def test_an_invalid_manifest_is_reported(text, message):
    problems = read_problems(text)
    assert all("\n" not in problem and problem.startswith("file.yaml") for problem in problems)
    assert message is None or message in problems


def test_other_kinds_have_no_pods():
    text = b"\n---\n".join(
        b"{apiVersion: %s, kind: %s, spec: {containers: 5}}" % pair
        for pair in (
            (b"v1", b"Service"),
            (b"networking.k8s.io/v1", b"Ingress"),
            (b"example.com/v1", b"Pod"),
            (b"apps/v1", b"ControllerRevision"),
        )
    )
    assert read_pods(text, "file.yaml") == []


CUSTOM = b"""\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web}
spec:
  template:
    metadata: {annotations: {a: b}}
    spec:
      containers:
        - {name: web, image: localhost:5000/web:1, securityContext: {capabilities: {add: [NET_RAW]}}}
---
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata: {name: train}
spec:
  replicatedJobs:
    - template: {spec: {template: {spec: {containers: [{name: driver, image: localhost:5000/web}]}}}}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: serve}
spec: {template: {spec: {containers: [{image: localhost:5000/web, volumeMounts: [{name: later, mountPath: /x}]}]}}}
---
apiVersion: example.com/v1
kind: Web
metadata: {name: odd}
spec: {image: "localhost:5000/web:2", containers: {name: not-a-list}, other: {containers: [{name: no-image}]}}
---
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
images: [{name: localhost:5000/web}]
"""


def test_pod_templates_are_found_in_custom_resources():
    manifest = manifests.parse_manifest(CUSTOM, "file.yaml")
    assert [(pod.kind, pod.name, [container.name for container in pod.containers]) for pod in manifest.pods] == [
        ("Rollout", "web", ["web"]),
        ("JobSet", "train", ["driver"]),
        ("Service", "serve", [""]),
    ]
    rollout = manifest.pods[0]
    assert rollout.metadata.at("annotations", "a").text() == "b"
    assert rollout.containers[0].settings.added[0].value == "cap_net_raw"
    assert not any(pod.problems for pod in manifest.pods)
    assert len(select.find_containers_of_image(manifest.pods, "localhost:5000/web")) == 3


def test_custom_resources_that_name_the_image_elsewhere_are_found():
    manifest = manifests.parse_manifest(CUSTOM, "file.yaml")
    assert [field.where for field in images.find_mentions(manifest, "localhost:5000/web:1")] == ["file.yaml:26: spec.image"]
    assert list(images.find_mentions(manifest, "localhost:5000/other")) == []


def test_problems_of_a_custom_template_matter_only_to_those_who_select_it():
    text = CUSTOM.replace(b"[NET_RAW]", b"[NET_RWA]")
    wrong, *others = read_pods(text, "file.yaml")
    (problem,) = wrong.problems
    assert problem.startswith(
        'file.yaml:9: spec.template.spec.containers[0].securityContext.capabilities.add[0]: "NET_RWA": unknown'
    )
    assert select.find_container([wrong, *others], "driver").name == "driver"
    with pytest.raises(InputError) as refused:
        select.find_container([wrong, *others], "web")
    assert refused.value.problems == [problem]


def test_a_list_of_one_kind_implies_the_kind():
    assert read_problems(b"{apiVersion: extensions/v1beta1, kind: DeploymentList, items: [{}]}") == [
        'file.yaml:1: items[0]: "extensions/v1beta1": no longer served; write "apps/v1"'
    ]
    (pod,) = read_pods(b"{apiVersion: v1, kind: PodList, items: [{spec: {containers: [{name: x}]}}]}", "file.yaml")
    assert (pod.kind, pod.containers[0].name, pod.containers[0].image) == ("Pod", "x", "")


def test_all_problems_are_reported_at_once():
    text = b"""\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      privileged: true
      hostUsers: maybe
      securityContext:
        runAsUser: root
        capabilities: {add: [KILL]}
        fsGruop: 5
      initContainers:
        - name: web
          image: Web
          allowPrivilegeEscalation: false
      containers:
        - name: web
          image: web
          command: serve
          volumeMounts:
            - {name: dta, mountPath: /data}
            - {name: data}
      volumes:
        - {name: data, emptyDir: {}}
---
apiVersion: v1
kind: Pdo
"""
    assert sorted(read_problems(text), key=lambda message: int(message.split(":")[1])) == [
        'file.yaml:7: spec.template.spec.privileged: "privileged": Kubernetes ignores it here; move it to securityContext',
        'file.yaml:8: spec.template.spec.hostUsers: "maybe": must be true or false',
        'file.yaml:10: spec.template.spec.securityContext.runAsUser: "root": not a whole number',
        'file.yaml:11: spec.template.spec.securityContext.capabilities: "capabilities": only a container has it; '
        "move it to the container's securityContext",
        'file.yaml:12: spec.template.spec.securityContext.fsGruop: "fsGruop": unknown field; did you mean "fsGroup"?',
        'file.yaml:15: spec.template.spec.initContainers[0].image: "Web": invalid image name; '
        "write it as registry.example/path:tag, in lower case",
        'file.yaml:16: spec.template.spec.initContainers[0].allowPrivilegeEscalation: "allowPrivilegeEscalation": '
        "Kubernetes ignores it here; move it to securityContext",
        'file.yaml:18: spec.template.spec.containers[0]: "web": duplicate container name; give each container its own',
        'file.yaml:20: spec.template.spec.containers[0].command: "serve": not a list',
        'file.yaml:22: spec.template.spec.containers[0].volumeMounts[0].name: "dta": the pod has no such volume; did you mean "data"?',
        'file.yaml:23: spec.template.spec.containers[0].volumeMounts[1]: "data": a mount without mountPath',
        'file.yaml:28: kind: "Pdo": unknown kind; did you mean "Pod"?',
    ]
