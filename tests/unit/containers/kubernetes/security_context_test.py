"""Tests of the settings in the securityContexts of pods and containers, and of the messages about invalid ones."""

from __future__ import annotations

import pytest
from manifest_texts import make_manifest, read_problems

from rules_setcap.containers.engines import Engine, parse_engine
from rules_setcap.containers.kubernetes import read_pods
from rules_setcap.containers.process import compute_initial_process
from rules_setcap.diagnostics.errors import InputError

CONTEXT = "spec.containers[0].securityContext"


@pytest.mark.parametrize(
    "context, message",
    [
        ("[]", f'{CONTEXT}: "a list": not a mapping'),
        ("{privileged: 1}", f'{CONTEXT}.privileged: "1": must be true or false'),
        ("{runAsUser: -1}", f'{CONTEXT}.runAsUser: "-1": out of range (0 to 2147483647)'),
        ("{runAsUser: '1'}", f'{CONTEXT}.runAsUser: "1": not a whole number'),
        ("{runAsGroup: 1e3}", f'{CONTEXT}.runAsGroup: "1e3": not a whole number'),
        ("{runAsNonroot: true}", f'{CONTEXT}.runAsNonroot: "runAsNonroot": unknown field; did you mean "runAsNonRoot"?'),
        ("{capabilities: [NET_ADMIN]}", f'{CONTEXT}.capabilities: "a list": not a mapping'),
        ("{capabilities: {ad: [KILL]}}", f'{CONTEXT}.capabilities.ad: "ad": unknown field; did you mean "add"?'),
        ("{capabilities: {add: KILL}}", f'{CONTEXT}.capabilities.add: "KILL": not a list'),
        ("{capabilities: {add: [KILL, 5]}}", f'{CONTEXT}.capabilities.add[1]: "5": not a text to YAML; put it in quotes'),
        (
            "{capabilities: {drop: [KILL, NET_BIND]}}",
            f'{CONTEXT}.capabilities.drop[1]: "NET_BIND": unknown capability; did you mean "NET_BIND_SERVICE"?',
        ),
        (
            "{capabilities: {add: [CAP_KILL]}}",
            f'{CONTEXT}.capabilities.add[0]: "CAP_KILL": Kubernetes has names without CAP_, '
            'and containerd would silently ignore this one; write "KILL"',
        ),
        (
            "{privileged: true, allowPrivilegeEscalation: false}",
            f'{CONTEXT}.allowPrivilegeEscalation: "false": the API server refuses it together with privileged: true',
        ),
    ],
)
def test_an_invalid_security_context_is_reported(context, message):
    assert read_problems(make_manifest(context=context)) == ["file.yaml:3: " + message]


def test_cri_o_accepts_an_upper_case_prefix():
    (pod,) = read_pods(make_manifest(context="{capabilities: {add: [CAP_KILL, bpf]}}"), "file.yaml", "cri-o")
    assert [capability.value for capability in pod.containers[0].settings.added] == ["cap_kill", "cap_bpf"]
    assert read_problems(make_manifest(context="{capabilities: {add: [cap_kill]}}"), "cri-o") == [
        f'file.yaml:3: {CONTEXT}.capabilities.add[0]: "cap_kill": CRI-O knows CAP_ in upper case only; write "KILL"'
    ]
    assert read_problems(
        make_manifest(context="{allowPrivilegeEscalation: false, capabilities: {add: [CAP_SYS_ADMIN]}}"), "cri-o"
    ) == [f'file.yaml:3: {CONTEXT}.allowPrivilegeEscalation: "false": the API server refuses it together with CAP_SYS_ADMIN']


def test_a_pod_with_a_user_namespace_shares_no_namespace_of_the_host():
    text = b"{apiVersion: v1, kind: Pod, spec: {hostUsers: false, hostPID: true, hostIPC: false, containers: [{name: x}]}}"
    assert read_problems(text) == ['file.yaml:1: spec.hostPID: "true": the API server refuses it together with hostUsers: false']
    text = b"{apiVersion: v1, kind: Pod, spec: {hostUsers: false, hostNetwork: true, containers: [{name: x}]}}"
    assert read_problems(text) == [
        'file.yaml:1: spec.hostNetwork: "true": the API server refuses it together with hostUsers: false'
    ]


@pytest.mark.parametrize(("name", "ids"), [("runAsUser", "runAsUser: %s"), ("runAsGroup", "runAsUser: 5, runAsGroup: %s")])
def test_the_ids_of_a_pod_are_in_its_user_namespace(name, ids):
    """The sandbox has them, also if the containers have others."""
    text = (
        "{apiVersion: v1, kind: Pod, spec: {hostUsers: %s, securityContext: {" + ids + "},"
        " containers: [{name: x, securityContext: {runAsUser: 1000, runAsGroup: 1000}}]}}"
    )
    assert read_problems((text % ("false", 65536)).encode()) == [
        f'file.yaml:1: spec.securityContext.{name}: "65536": the pod does not start: with hostUsers: false its IDs are'
        " 0 to 65535 by default; write one of these"
    ]
    assert read_pods((text % ("false", 65535)).encode(), "file.yaml")
    assert read_pods((text % ("true", 65536)).encode(), "file.yaml")


@pytest.mark.parametrize(
    ("pod", "container"),
    [
        ("", "runAsUser: 1000, runAsGroup: 70000"),
        ("", "runAsGroup: 70000"),
        ("fsGroup: 70000", ""),
        ("supplementalGroups: [5, 70000]", ""),
    ],
)
def test_the_groups_of_a_container_are_in_the_user_namespace_of_the_pod(pod, container):
    text = (
        "{apiVersion: v1, kind: Pod, spec: {hostUsers: false, securityContext: {%s},"
        " containers: [{name: x, securityContext: {%s}}]}}"
    )
    (read,) = read_pods((text % (pod, container)).encode(), "file.yaml")
    with pytest.raises(InputError) as refused:
        compute_initial_process(read.containers[0].settings)
    (problem,) = refused.value.problems
    assert (
        "70000\": not in the pod's user namespace, which has the IDs 0 to 65535 by default: file.yaml:1: spec.hostUsers"
        in problem
    )


def test_an_unmasked_proc_needs_a_user_namespace():
    context = "securityContext: {procMount: Unmasked}"
    text = "{apiVersion: v1, kind: Pod, spec: {%s, containers: [{name: x, %s}]}}"
    assert read_pods((text % ("hostUsers: false", context)).encode(), "file.yaml")
    assert read_problems((text % ("hostUsers: true", context)).encode()) == [
        'file.yaml:1: spec.containers[0].securityContext.procMount: "Unmasked": the API server refuses it unless the pod has hostUsers: false'
    ]


def test_sysctls_of_the_network_are_refused_in_the_network_of_the_host():
    text = (
        "{apiVersion: v1, kind: Pod, spec: {hostNetwork: %s, containers: [{name: x}],"
        " securityContext: {sysctls: [{name: net.ipv4.ping_group_range, value: 0 0}]}}}"
    )
    assert read_pods((text % "false").encode(), "file.yaml")
    assert read_problems((text % "true").encode()) == [
        'file.yaml:1: spec.securityContext.sysctls[0].name: "net.ipv4.ping_group_range": '
        "the API server refuses it together with hostNetwork: true"
    ]


def test_ids_must_be_mapped_in_the_user_namespace():
    """containerd and the kernel refuse IDs that the user namespace of the pod does not map."""
    text = (
        "{apiVersion: v1, kind: Pod, spec: {hostUsers: false, containers: [{name: x, securityContext: {runAsUser: %d}}],"
        " securityContext: {sysctls: [{name: net.ipv4.ping_group_range, value: 0 %d}]}}}"
    )
    (pod,) = read_pods((text % (65535, 65535)).encode(), "file.yaml")
    assert compute_initial_process(pod.containers[0].settings).uid == 65535
    (pod,) = read_pods((text % (65536, 65535)).encode(), "file.yaml")
    with pytest.raises(InputError, match="has the IDs 0 to 65535 by default"):
        compute_initial_process(pod.containers[0].settings)
    (refused,) = read_problems((text % (0, 2147483647)).encode())
    assert refused.startswith('file.yaml:1: spec.securityContext.sysctls[0].value: "0 2147483647": the pod does not start')


def test_containerd_refuses_a_group_of_a_pod_without_a_user():
    text = b"{apiVersion: v1, kind: Pod, spec: {securityContext: {runAsGroup: 5}, containers: [{name: x, securityContext: {runAsUser: 5}}]}}"
    assert read_pods(text, "file.yaml", "cri-o")
    (refused,) = read_problems(text)
    assert refused.startswith(
        'file.yaml:1: spec.securityContext.runAsGroup: "5": containerd does not start a pod with a group and without'
    )


def test_sys_admin_does_not_unset_no_new_privs():
    (pod,) = read_pods(make_manifest(context="{allowPrivilegeEscalation: false, capabilities: {add: [SYS_ADMIN]}}"), "file.yaml")
    assert compute_initial_process(pod.containers[0].settings).no_new_privs is True


def test_the_context_of_a_container_overrides_that_of_its_pod():
    text = b"""\
apiVersion: v1
kind: Pod
spec:
  securityContext: {runAsUser: 0, runAsGroup: 5, runAsNonRoot: false}
  containers:
    - {name: a, securityContext: {runAsUser: 7, runAsNonRoot: true}}
    - {name: b, securityContext: {runAsUser: null}}
  ephemeralContainers:
    - {name: debug, securityContext: {runAsGroup: 6}}
"""
    (pod,) = read_pods(text, "file.yaml")
    assert [container.settings.user.value for container in pod.containers] == ["7:5", "0:5", "0:6"]
    assert [container.settings.run_as_non_root.value for container in pod.containers] == [True, False, False]
    assert [container.section for container in pod.containers] == ["containers", "containers", "ephemeralContainers"]


def test_the_engine_of_the_nodes_decides_about_defaults():
    (pod,) = read_pods(make_manifest(), "file.yaml", "cri-o")
    settings = pod.containers[0].settings
    assert compute_initial_process(settings) == compute_initial_process(settings, parse_engine("cri-o"))
    assert compute_initial_process(settings).bounding != compute_initial_process(settings, Engine("containerd")).bounding
