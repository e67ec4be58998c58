"""Tests of how containers are selected by their names and images."""

from __future__ import annotations

import pytest
from manifest_texts import MANIFESTS, make_manifest, read_pods_of_file, read_problems

from rules_setcap.containers.kubernetes import Container, parse_manifest, read_pods, select
from rules_setcap.diagnostics.errors import InputError


def test_containers_are_found_by_their_image():
    pods = [pod for path in sorted(MANIFESTS.iterdir()) for pod in read_pods_of_file(path.name)]
    assert len(pods) == 9
    assert [container.name for container in select.find_containers_of_image(pods, "docker.io/library/caddy:2")] == ["caddy"]
    assert [container.name for container in select.find_containers_of_image(pods, "localhost:5000/profiler")] == [
        "profiler",
        "clean-up",
    ]
    assert [container.name for container in select.find_containers_of_image(pods, "localhost:5000/profiler:latest")] == [
        "profiler"
    ]
    assert select.find_containers_of_image(pods, "localhost:5000/other") == []
    assert select.find_containers_of_image(pods, "a//b") == []


def test_a_container_is_found_by_its_name():
    pods = read_pods_of_file("cilium.yaml")
    assert select.find_container(pods, "DaemonSet/cilium/cilium-agent") is select.find_container(pods, "cilium-agent")
    for name, message in (
        ("cilium-agnet", 'container: "cilium-agnet": no container of this name; did you mean "cilium-agent"?'),
        ("web", 'container: "web": no container of this name; there are "cilium-agent", "mount-bpf-fs", "mount-cgroup"'),
    ):
        with pytest.raises(InputError) as refused:
            select.find_container(pods, name)
        assert refused.value.problems == [message]
    with pytest.raises(InputError) as refused:
        select.find_container(
            [*read_pods_of_file("vault.yaml"), *read_pods_of_file("vault.yaml"), *read_pods_of_file("caddy.yaml")][1:], "nothing"
        )
    with pytest.raises(InputError, match='there are several; write one of "Deployment/a/x", "Deployment/b/x"'):
        twice = (
            make_manifest("metadata: {name: a}\n", kind="Deployment")
            + b"---\n"
            + make_manifest("metadata: {name: b}\n", kind="Deployment")
        )
        select.find_container(read_pods(twice, "file.yaml"), "x")


# A manifest with two problems in pods and two outside.
SEVERAL = b"""\
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
    - {name: web, image: image}
    - {name: side, image: image, securityContext: {capabilities: {add: [NET_RWA]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: b}
spec: {hostUsers: maybe, containers: [{name: other, image: image}]}
---
apiVersion: v1
kind: Pood
---
{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, spec: {containers: [{name: last}]}}, {kind: Pod}]}
"""
SIDE = (
    'file.yaml:7: spec.containers[1].securityContext.capabilities.add[0]: "NET_RWA": unknown capability; did you mean "NET_RAW"?'
)
USERS = 'file.yaml:12: spec.hostUsers: "maybe": must be true or false'
KIND = 'file.yaml:15: kind: "Pood": unknown kind; did you mean "Pod"?'
ITEM = 'file.yaml:17: items[1]: "": not a Kubernetes object: it has no apiVersion'


def _select(name: str | None, text: bytes = SEVERAL) -> Container:
    """Returns the container of a name in a manifest whose other containers may have problems."""
    return select.select_container(parse_manifest(text, "file.yaml", partial=True), name, "file.yaml")


def _split_notes(container: Container) -> list[tuple[str, str]]:
    """Returns the notes of a container: what each is about, and the problem."""
    return [tuple(note.split(": ", 1)) for note in container.settings.notes]


def test_only_the_selected_container_must_be_valid():
    elsewhere = "another problem in the same file, which is not judged here"
    same_pod = "another container of the pod does not start"
    assert _split_notes(_select("web")) == [(same_pod, SIDE), (elsewhere, KIND), (elsewhere, ITEM), (elsewhere, USERS)]
    assert _split_notes(_select("Pod//last")) == [(elsewhere, KIND), (elsewhere, ITEM), (elsewhere, SIDE), (elsewhere, USERS)]
    for name, problem in (("side", SIDE), ("other", USERS)):
        with pytest.raises(InputError) as refused:
            _select(name)
        assert refused.value.problems == [problem]
    with pytest.raises(InputError) as refused:
        _select(None)
    assert refused.value.problems == [
        'manifest: "file.yaml": there are several containers; write container, one of "Pod/a/web", "Pod/a/side", "Pod/b/other", "Pod//last"'
    ]
    # The container may be in an object with problems.
    with pytest.raises(InputError) as refused:
        _select("lost")
    assert refused.value.problems == [
        'container: "lost": no container of this name; did you mean "last"?',
        KIND,
        ITEM,
        SIDE,
        USERS,
    ]


def test_the_only_container_needs_no_name():
    assert _select(None, make_manifest()).name == "x"
    assert _select(None, make_manifest()).settings.notes == ()
    with pytest.raises(InputError) as refused:
        _select(None, b"{apiVersion: v1, kind: Service}")
    assert refused.value.problems == ['manifest: "file.yaml": has no container']
    with pytest.raises(InputError) as refused:
        _select(None, b"{apiVersion: v1, kind: Pod}")
    assert refused.value.problems == ['file.yaml:1: "Pod": has no spec']


def test_problems_of_several_objects_are_reported_at_once():
    assert read_problems(SEVERAL) == [SIDE, USERS, KIND, ITEM]
