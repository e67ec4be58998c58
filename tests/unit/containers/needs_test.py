"""What needs says, read back: no more and no less than is needed."""

from __future__ import annotations

import json
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers import needs
from rules_setcap.containers.compose import files
from rules_setcap.containers.docker import command_line
from rules_setcap.containers.engines import Engine
from rules_setcap.containers.kubernetes import manifests, standards
from rules_setcap.containers.process import InitialProcess, compute_initial_process
from rules_setcap.diagnostics.errors import InputError

NET_BIND_SERVICE = 1 << NAMES.index("cap_net_bind_service")
BPF = 1 << NAMES.index("cap_bpf")

MASKS = st.one_of(st.integers(0, ALL), st.sets(st.integers(0, len(NAMES) - 1), max_size=4).map(lambda bits: sum(1 << bit for bit in bits)))
ENGINES = st.sampled_from([Engine("docker"), Engine("docker", (20, 10)), Engine("podman"), Engine("podman", (4, 3))])
NODES = st.sampled_from([Engine("containerd"), Engine("cri-o"), Engine("cri-o", default_capabilities=0)])
USERS = st.sampled_from(["", "0", "65532", "65532:7"])


def _of_command(needed: int, runtime: Engine, user: str, harden: bool) -> InitialProcess:
    return compute_initial_process(command_line.read_command_line(needs.format_run_command(needed, "image", runtime, user, harden)), runtime)


def _of_compose(needed: int, runtime: Engine, user: str, harden: bool) -> InitialProcess:
    text = needs.format_compose_service(needed, "web", runtime, user, harden)
    return compute_initial_process(files.read_service(text.encode(), "compose.yaml", "web"), runtime)


def _pod(context: str) -> manifests.Pod:
    container = textwrap.indent("- name: web\n  image: web\n" + textwrap.indent(context, "  "), "    ")
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n" + container
    return manifests.read_pods(pod.encode(), "pod.yaml")[0]


@given(MASKS, ENGINES, USERS, st.booleans())
def test_engines(needed, runtime, user, harden):
    default = runtime.find_behaviour().default_capabilities
    process = _of_command(needed, runtime, user, harden)
    assert process.bounding == (needed if harden else default | needed)
    assert process.uid == int(user.partition(":")[0] or 0)
    assert process.no_new_privs == (harden and not needed)
    # Nothing is said that is not needed.
    flags = needs.format_flags(needed, runtime, user, harden)
    assert sum(flag.startswith("--cap-add") for flag in flags) == (needed if harden else needed & ~default).bit_count()
    if runtime.name == "docker":
        composed = _of_compose(needed, runtime, user, harden)
        assert (composed.bounding, composed.uid, composed.no_new_privs) == (process.bounding, process.uid, process.no_new_privs)


@given(MASKS, NODES, USERS, st.booleans())
def test_kubernetes(needed, runtime, user, harden):
    pod = _pod(needs.format_security_context(needed, runtime, user, harden))
    process = compute_initial_process(pod.containers[0].settings, runtime, image_user="1")
    default = runtime.default_capabilities if runtime.default_capabilities is not None else runtime.find_behaviour().default_capabilities
    assert process.bounding == (needed if harden else default | needed)
    assert process.uid == int(user.partition(":")[0] or 1)
    # Root has its capabilities without its files', others need them.
    assert process.no_new_privs == (harden and (not needed or process.uid == 0))


def test_a_first_program_passes_the_strictest_standard():
    context = needs.format_security_context(NET_BIND_SERVICE, user="65532", first_program=True)
    process = compute_initial_process(_pod(context).containers[0].settings)
    assert (process.no_new_privs, process.permitted) == (True, NET_BIND_SERVICE)
    # All that is left is not about capabilities.
    assert {one.control for one in standards.evaluate_pod(_pod(context)).violations} == {"Seccomp"}
    context = needs.format_security_context(NET_BIND_SERVICE, user="65532")
    assert {one.control for one in standards.evaluate_pod(_pod(context)).violations} == {"Seccomp", "Privilege Escalation"}


def test_the_texts():
    needed = NET_BIND_SERVICE | BPF
    assert needs.format_run_command(needed, "image", user="65532") == (
        "docker run --cap-drop=ALL --cap-add=NET_BIND_SERVICE --cap-add=BPF --user=65532 image"
    )
    assert needs.format_run_command(needed, "an image", Engine("podman"), harden=False) == "podman run --cap-add=BPF 'an image'"
    assert needs.format_run_command(NET_BIND_SERVICE, "image", harden=False) == "docker run image"
    assert needs.format_run_command(0, "image") == "docker run --cap-drop=ALL --security-opt=no-new-privileges image"
    assert needs.format_compose_service(needed, "web", user="65532") == (
        'services:\n  "web":\n    cap_drop: ["ALL"]\n    cap_add: ["NET_BIND_SERVICE", "BPF"]\n    user: "65532"\n'
    )
    assert needs.format_security_context(needed, user="65532:7") == (
        "securityContext:\n"
        "  # File capabilities come with execve(2); false would set no_new_privs, which switches them off.\n"
        "  allowPrivilegeEscalation: true\n"
        "  capabilities:\n"
        '    drop: ["ALL"]\n'
        '    add: ["NET_BIND_SERVICE", "BPF"]\n'
        "  runAsGroup: 7\n"
        "  runAsNonRoot: true\n"
        "  runAsUser: 65532\n"
    )
    assert needs.format_security_context(0, harden=False) == "securityContext: {}\n"


@given(st.text())
def test_any_name_of_a_service_and_any_user(text):
    fragment = needs.format_compose_service(NET_BIND_SERVICE, text, user=text)
    assert json.dumps(text) in fragment and fragment.count("\n") == (5 if text else 4)


@pytest.mark.parametrize("user", ["nginx", "0x1", "2147483648", "1:", ":1", "٣", "1:2:3"])
def test_kubernetes_takes_numbers(user):
    with pytest.raises(InputError) as refused:
        needs.format_security_context(BPF, user=user)
    assert "Kubernetes takes numbers of 0 to 2147483647; write it as uid or uid:gid" in refused.value.problems[0]


def test_capabilities_that_nobody_knows():
    with pytest.raises(InputError) as refused:
        needs.format_flags(1 << 41)
    assert refused.value.problems == ['needed: "0x20000000000": cap_checkpoint_restore is the last capability']
