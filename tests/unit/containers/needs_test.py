"""Tests that read the settings of needs back: they grant what is needed, no more and no less."""

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
from rules_setcap.containers.kubernetes import Pod, read_pods, standards
from rules_setcap.containers.process import InitialProcess, compute_initial_process
from rules_setcap.diagnostics.errors import InputError

NET_BIND_SERVICE = 1 << NAMES.index("cap_net_bind_service")
BPF = 1 << NAMES.index("cap_bpf")

MASKS = st.one_of(
    st.integers(0, ALL), st.sets(st.integers(0, len(NAMES) - 1), max_size=4).map(lambda bits: sum(1 << bit for bit in bits))
)
ENGINES = st.sampled_from([Engine("docker"), Engine("docker", (20, 10)), Engine("podman"), Engine("podman", (4, 3))])
NODES = st.sampled_from([Engine("containerd"), Engine("cri-o"), Engine("cri-o", default_capabilities=0)])
USERS = st.sampled_from(["", "0", "65532", "65532:7"])


def _run_command(needed: int, engine: Engine, user: str, harden: bool) -> InitialProcess:
    """Returns the process of the command that runs the image."""
    command = needs.format_run_command(needed, "image", engine, user, harden)
    return compute_initial_process(command_line.read_command_line(command), engine)


def _run_compose(needed: int, engine: Engine, user: str, harden: bool) -> InitialProcess:
    """Returns the process of the Compose service."""
    text = needs.format_compose_service(needed, "web", engine, user, harden)
    return compute_initial_process(files.read_service(text.encode(), "compose.yaml", "web"), engine)


def _read_pod(context: str) -> Pod:
    """Returns the pod of a securityContext."""
    container = textwrap.indent("- name: web\n  image: web\n" + textwrap.indent(context, "  "), "    ")
    manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n" + container
    return read_pods(manifest.encode(), "pod.yaml")[0]


@given(MASKS, ENGINES, USERS, st.booleans())
def test_commands_and_compose_files_grant_what_is_needed(needed, engine, user, harden):
    default = engine.find_behaviour().default_capabilities
    process = _run_command(needed, engine, user, harden)
    assert process.bounding == (needed if harden else default | needed)
    assert process.uid == int(user.partition(":")[0] or 0)
    assert process.no_new_privs == (harden and not needed)
    # No flag is given that is not needed.
    flags = needs.format_flags(needed, engine, user, harden)
    assert sum(flag.startswith("--cap-add") for flag in flags) == (needed if harden else needed & ~default).bit_count()
    if engine.name == "docker":
        composed = _run_compose(needed, engine, user, harden)
        assert (composed.bounding, composed.uid, composed.no_new_privs) == (process.bounding, process.uid, process.no_new_privs)


@given(MASKS, NODES, USERS, st.booleans())
def test_a_security_context_grants_what_is_needed(needed, engine, user, harden):
    pod = _read_pod(needs.format_security_context(needed, engine, user, harden))
    process = compute_initial_process(pod.containers[0].settings, engine, image_user="1")
    default = (
        engine.default_capabilities if engine.default_capabilities is not None else engine.find_behaviour().default_capabilities
    )
    assert process.bounding == (needed if harden else default | needed)
    assert process.uid == int(user.partition(":")[0] or 1)
    # Root has the granted capabilities without file capabilities; other users need those.
    assert process.no_new_privs == (harden and (not needed or process.uid == 0))


def test_a_first_program_satisfies_the_strictest_standard_for_capabilities():
    context = needs.format_security_context(NET_BIND_SERVICE, user="65532", first_program=True)
    process = compute_initial_process(_read_pod(context).containers[0].settings)
    assert (process.no_new_privs, process.permitted) == (True, NET_BIND_SERVICE)
    # The only violation is not about capabilities.
    assert {violation.control for violation in standards.evaluate_pod(_read_pod(context)).violations} == {"Seccomp"}
    context = needs.format_security_context(NET_BIND_SERVICE, user="65532")
    assert {violation.control for violation in standards.evaluate_pod(_read_pod(context)).violations} == {
        "Seccomp",
        "Privilege Escalation",
    }


def test_settings_have_the_form_of_their_engine():
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
def test_a_service_and_a_user_may_have_any_name(text):
    fragment = needs.format_compose_service(NET_BIND_SERVICE, text, user=text)
    assert json.dumps(text) in fragment and fragment.count("\n") == (5 if text else 4)


@pytest.mark.parametrize("user", ["nginx", "0x1", "2147483648", "1:", ":1", "٣", "1:2:3"])
def test_kubernetes_needs_a_numeric_user(user):
    with pytest.raises(InputError) as refused:
        needs.format_security_context(BPF, user=user)
    assert "Kubernetes takes numbers of 0 to 2147483647; write it as uid or uid:gid" in refused.value.problems[0]


def test_an_unknown_capability_is_refused():
    with pytest.raises(InputError) as refused:
        needs.format_flags(1 << 41)
    assert refused.value.problems == ['needed: "0x20000000000": has a bit after the last capability, cap_checkpoint_restore']
