"""Fuzz tests: any manifest, and any pod of it, is either read or refused with an InputError."""

from __future__ import annotations

import json
import pathlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules_setcap.containers.kubernetes import manifests, standards
from rules_setcap.containers.process import compute_initial_process
from rules_setcap.diagnostics.errors import InputError

FUZZ = settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
REAL = [path.read_bytes() for path in sorted(pathlib.Path("tests/unit/containers/kubernetes/manifests").iterdir())]

KEYS = st.sampled_from(
    """
    apiVersion kind metadata name annotations spec template jobTemplate items containers initContainers ephemeralContainers image
    securityContext capabilities add drop privileged allowPrivilegeEscalation runAsUser runAsGroup runAsNonRoot seccompProfile type
    hostUsers hostNetwork volumes volumeMounts mountPath emptyDir hostPath ports hostPort livenessProbe httpGet host command args os
    windowsOptions hostProcess sysctls seLinuxOptions user volumeClaimTemplates
    """.split()
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(
        [
            "v1",
            "apps/v1",
            "batch/v1",
            "Pod",
            "Deployment",
            "CronJob",
            "List",
            "ALL",
            "KILL",
            "CAP_BPF",
            "windows",
            "Unconfined",
            "/a",
        ]
    ),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)), max_leaves=20
)
CONTAINERS = st.lists(
    st.one_of(
        VALUES, st.fixed_dictionaries({"name": st.sampled_from("abc")}, optional={"securityContext": VALUES, "ports": VALUES})
    ),
    max_size=3,
)
PODS = st.fixed_dictionaries(
    {
        "apiVersion": st.just("v1"),
        "kind": st.just("Pod"),
        "spec": st.dictionaries(KEYS, VALUES, max_size=4).flatmap(
            lambda spec: CONTAINERS.map(lambda containers: {**spec, "containers": containers})
        ),
    }
)


def _check(data: bytes) -> None:
    """Reads a manifest, evaluates its pods and computes the processes of their containers."""
    for engine_name in ("containerd", "cri-o"):
        try:
            pods = manifests.read_pods(data, "file.yaml", engine_name)
        except InputError as error:
            assert error.problems and all("\n" not in problem and problem.startswith("file.yaml") for problem in error.problems)
            continue
        for pod in pods:
            try:
                assert standards.evaluate_pod(pod).level in standards.LEVELS
            except InputError as error:
                assert error.problems
            for container in pod.containers:
                try:
                    compute_initial_process(container.settings, image_user="65532")
                except InputError as error:
                    assert error.problems


@FUZZ
@given(st.one_of(PODS, VALUES))
def test_any_values_are_read_or_refused(value):
    _check(json.dumps(value).encode())


@FUZZ
@given(
    st.sampled_from(REAL),
    st.lists(
        st.tuples(
            st.integers(0, 4000),
            st.integers(0, 40),
            st.sampled_from([b"", b"x", b":", b"\n", b"- ", b"{", b"'", b"*a", b"&a ", b"\t", b"[]", b"null", b"0"]),
        ),
        max_size=4,
    ),
)
def test_damaged_manifests_are_read_or_refused(data, changes):
    for start, length, text in changes:
        data = data[:start] + text + data[start + length :]
    _check(data)
