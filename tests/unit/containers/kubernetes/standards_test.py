"""Tests of each control of the Pod Security Standards, with changes to a pod that satisfies all of them."""

from __future__ import annotations

import copy
import json

import pytest

from rules_setcap.containers.kubernetes import manifests, standards
from rules_setcap.diagnostics.errors import InputError

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "x"},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {"name": name, "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
            for name in ("x", "y")
        ],
    },
}
ONE = "spec.containers[1]"
CONTEXT = ONE + ".securityContext"


def _evaluate(changes: dict[str, object]) -> standards.Evaluation:
    """Evaluates POD with some changes.

    Args:
      changes: the new values by path; None removes a value. The keys of a path are separated by "." or "/".
    """
    pod = copy.deepcopy(POD)
    for path, value in changes.items():
        *steps, last = path.replace("[1]", ".1").split("/") if "/" in path else path.replace("[1]", ".1").split(".")
        parent = pod
        for step in steps:
            parent = parent[int(step)] if isinstance(parent, list) else parent.setdefault(step, {})
        if value is None:
            del parent[last]
        else:
            parent[last] = value
    return standards.evaluate_pod(manifests.read_pods(json.dumps(pod, indent=1).encode(), "pod.json")[0])


def test_a_pod_that_satisfies_all_controls_is_restricted():
    assert _evaluate({}) == standards.Evaluation("restricted", ())


VIOLATIONS = [
    # The changes, the level that the pod still satisfies, the violated control, and the field.
    ({CONTEXT + ".windowsOptions": {"hostProcess": True}}, "privileged", "HostProcess", CONTEXT + ".windowsOptions.hostProcess"),
    ({"spec.securityContext.windowsOptions": {"hostProcess": True}}, "privileged", "HostProcess", None),
    ({"spec.hostNetwork": True}, "privileged", "Host Namespaces", "spec.hostNetwork"),
    ({"spec.hostPID": True}, "privileged", "Host Namespaces", "spec.hostPID"),
    ({"spec.hostIPC": True}, "privileged", "Host Namespaces", "spec.hostIPC"),
    (
        {CONTEXT + ".privileged": True, CONTEXT + ".allowPrivilegeEscalation": True},
        "privileged",
        "Privileged Containers",
        CONTEXT + ".privileged",
    ),
    ({CONTEXT + ".capabilities.add": ["KILL", "NET_RAW"]}, "privileged", "Capabilities", CONTEXT + ".capabilities.add[1]"),
    ({CONTEXT + ".capabilities.add": ["net_bind_service"]}, "privileged", "Capabilities", CONTEXT + ".capabilities.add[0]"),
    ({CONTEXT + ".capabilities.add": ["KILL"]}, "baseline", "Capabilities", CONTEXT + ".capabilities.add[0]"),
    ({CONTEXT + ".capabilities.drop": ["all"]}, "baseline", "Capabilities", CONTEXT + ".capabilities.drop"),
    ({CONTEXT + ".capabilities": None}, "baseline", "Capabilities", CONTEXT),
    ({"spec.volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "privileged", "HostPath Volumes", "spec.volumes[0].hostPath"),
    ({"spec.volumes": [{"name": "v", "nfs": {"path": "/"}}]}, "baseline", "Volume Types", "spec.volumes[0]"),
    ({ONE + ".ports": [{"hostPort": 80}]}, "privileged", "Host Ports", ONE + ".ports[0].hostPort"),
    (
        {ONE + ".readinessProbe": {"tcpSocket": {"host": "x"}}},
        "privileged",
        "Host Probes / Lifecycle Hooks",
        ONE + ".readinessProbe.tcpSocket.host",
    ),
    (
        {ONE + ".lifecycle": {"preStop": {"httpGet": {"host": "x"}}}},
        "privileged",
        "Host Probes / Lifecycle Hooks",
        ONE + ".lifecycle.preStop.httpGet.host",
    ),
    ({CONTEXT + ".appArmorProfile": {"type": "Unconfined"}}, "privileged", "AppArmor", CONTEXT + ".appArmorProfile.type"),
    (
        {"metadata/annotations": {"container.apparmor.security.beta.kubernetes.io/x": "unconfined"}},
        "privileged",
        "AppArmor",
        'metadata.annotations["container.apparmor.security.beta.kubernetes.io/x"]',
    ),
    (
        {"spec.securityContext.seLinuxOptions": {"type": "spc_t"}},
        "privileged",
        "SELinux",
        "spec.securityContext.seLinuxOptions.type",
    ),
    ({CONTEXT + ".seLinuxOptions": {"user": "u"}}, "privileged", "SELinux", CONTEXT + ".seLinuxOptions.user"),
    ({CONTEXT + ".seLinuxOptions": {"role": "r"}}, "privileged", "SELinux", CONTEXT + ".seLinuxOptions.role"),
    ({CONTEXT + ".procMount": "Other"}, "privileged", "/proc Mount Type", CONTEXT + ".procMount"),
    ({CONTEXT + ".procMount": "Unmasked", "spec.hostUsers": False}, "baseline", "/proc Mount Type", CONTEXT + ".procMount"),
    ({CONTEXT + ".seccompProfile": {"type": "Unconfined"}}, "privileged", "Seccomp", CONTEXT + ".seccompProfile.type"),
    ({"spec.securityContext.seccompProfile": None}, "baseline", "Seccomp", CONTEXT),
    (
        {"spec.securityContext.sysctls": [{"name": "kernel.msgmax"}]},
        "privileged",
        "Sysctls",
        "spec.securityContext.sysctls[0].name",
    ),
    ({CONTEXT + ".allowPrivilegeEscalation": None}, "baseline", "Privilege Escalation", CONTEXT),
    ({CONTEXT + ".allowPrivilegeEscalation": True}, "baseline", "Privilege Escalation", CONTEXT + ".allowPrivilegeEscalation"),
    ({CONTEXT + ".runAsNonRoot": False}, "baseline", "Running as Non-root", CONTEXT + ".runAsNonRoot"),
    ({"spec.securityContext.runAsNonRoot": False}, "baseline", "Running as Non-root", "spec.securityContext.runAsNonRoot"),
    ({"spec.securityContext.runAsNonRoot": None}, "baseline", "Running as Non-root", CONTEXT),
    ({CONTEXT + ".runAsUser": 0}, "baseline", "Running as Non-root user", CONTEXT + ".runAsUser"),
    ({"spec.securityContext.runAsUser": 0}, "baseline", "Running as Non-root user", "spec.securityContext.runAsUser"),
]


@pytest.mark.parametrize("changes, level, control, path", VIOLATIONS, ids=lambda value: str(value)[:50])
def test_a_violation_names_its_control_and_field(changes, level, control, path):
    evaluation = _evaluate(changes)
    assert evaluation.level == level
    violated_level = {"privileged": "baseline", "baseline": "restricted"}[level]
    violations = [violation for violation in evaluation.violations if violation.level == violated_level]
    assert {violation.control for violation in violations} == {control}
    assert path is None or any(violation.where.partition(": ")[2] == path for violation in violations)


ALLOWED = [
    {"spec.hostNetwork": False, "spec.hostUsers": True},
    {CONTEXT + ".capabilities.add": ["NET_BIND_SERVICE"], CONTEXT + ".capabilities.drop": ["KILL", "ALL"]},
    {"spec.volumes": [{"name": "v", "csi": {}}, {"name": "w", "image": {}}, {"name": "x", "emptyDir": {}}]},
    {ONE + ".ports": [{"hostPort": 0, "containerPort": 80}], ONE + ".livenessProbe": {"httpGet": {"host": ""}}},
    {"spec.securityContext.seLinuxOptions": {"type": "container_engine_t", "level": "s0"}},
    {"spec.securityContext.sysctls": [{"name": "net.ipv4.tcp_wmem", "value": "1"}]},
    {"metadata/annotations": {"container.apparmor.security.beta.kubernetes.io/x": "localhost/x", "other": "x"}},
    {"spec.securityContext.appArmorProfile": {"type": "Localhost"}, CONTEXT + ".procMount": "Default"},
    # Controls that do not apply to a pod with a user namespace, or of Windows.
    {"spec.hostUsers": False, "spec.securityContext.runAsNonRoot": False, CONTEXT + ".runAsUser": 0},
    {"spec.os": {"name": "windows"}, CONTEXT + ".allowPrivilegeEscalation": None, CONTEXT + ".capabilities": None},
]


@pytest.mark.parametrize("changes", ALLOWED, ids=lambda value: str(value)[:50])
def test_an_allowed_value_is_not_a_violation(changes):
    assert _evaluate(changes) == standards.Evaluation("restricted", ())


def test_init_and_ephemeral_containers_are_evaluated():
    for section in ("initContainers", "ephemeralContainers"):
        violations = _evaluate({"spec." + section: [{"name": "z"}]}).violations
        assert {violation.control for violation in violations} == {"Privilege Escalation", "Capabilities"}
        assert {violation.where.partition(": ")[2] for violation in violations} == {f"spec.{section}[0]"}


def test_fields_of_a_wrong_type_are_problems():
    with pytest.raises(InputError) as refused:
        _evaluate({"spec.hostPID": "yes", ONE + ".ports": [{"hostPort": "80"}]})
    assert [problem.partition(": ")[2] for problem in refused.value.problems] == [
        'spec.hostPID: "yes": must be true or false',
        'spec.containers[1].ports[0].hostPort: "80": not a whole number',
    ]
