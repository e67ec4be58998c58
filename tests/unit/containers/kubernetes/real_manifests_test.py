"""Tests of manifests with the shapes of those that projects publish."""

from __future__ import annotations

import pytest
from manifest_texts import MANIFESTS, read_pods_of_file

from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers.kubernetes import select, standards
from rules_setcap.containers.process import compute_initial_process


def _make_mask(names: str) -> int:
    """Returns the mask of capabilities, given by names without "cap_" and separated by spaces, or of "all"."""
    return ALL if names == "all" else sum(1 << NAMES.index("cap_" + name) for name in names.split())


DEFAULT = compute_initial_process(read_pods_of_file("vault.yaml")[0].containers[0].settings).bounding & ~_make_mask("ipc_lock")

# The file, the container, its uid (the image's is 65532), what is granted, no_new_privs, and the level of the pod.
REAL = [
    ("ingress-nginx.yaml", "controller", 101, _make_mask("net_bind_service"), True, "restricted"),
    ("ingress-nginx.yaml", "create", 65532, 0, True, "restricted"),
    ("coredns.yaml", "coredns", 65532, _make_mask("net_bind_service"), True, "baseline"),
    ("caddy.yaml", "caddy", 1000, _make_mask("net_bind_service"), False, "baseline"),
    ("kubevirt.yaml", "container-disk-binary", 107, 0, True, "restricted"),
    ("kubevirt.yaml", "compute", 107, _make_mask("net_bind_service"), True, "restricted"),
    ("vault.yaml", "vault", 100, DEFAULT | _make_mask("ipc_lock setfcap"), False, "privileged"),
    ("cilium.yaml", "mount-cgroup", 65532, _make_mask("sys_admin sys_chroot sys_ptrace"), False, "privileged"),
    ("cilium.yaml", "mount-bpf-fs", 65532, ALL, False, "privileged"),
    ("bpf-agent.yaml", "profiler", 65532, _make_mask("bpf perfmon"), False, "privileged"),
    ("bpf-agent.yaml", "clean-up", 0, _make_mask("bpf perfmon"), False, "privileged"),
]


@pytest.mark.parametrize("file, name, uid, granted, no_new_privs, level", REAL)
def test_real_manifests_grant_what_their_authors_intend(file, name, uid, granted, no_new_privs, level):
    pods = read_pods_of_file(file)
    container = select.find_container(pods, name)
    process = compute_initial_process(container.settings, image_user="65532")
    assert (process.uid, process.bounding, process.no_new_privs) == (uid, granted, no_new_privs)
    # containerd makes the granted capabilities permitted for every user.
    assert (process.permitted, process.inheritable, process.ambient) == (granted, 0, 0)
    (pod,) = [pod for pod in pods if container in pod.containers]
    assert standards.evaluate_pod(pod).level == level


def test_a_setting_has_the_place_where_it_is_set():
    settings = select.find_container(read_pods_of_file("ingress-nginx.yaml"), "controller").settings
    lines = (MANIFESTS / "ingress-nginx.yaml").read_text().splitlines()
    context = "spec.template.spec.containers[0].securityContext"
    assert settings.user.value == "101:82"
    for setting, text, path in (
        (settings.user, "runAsUser: 101", "runAsUser"),
        (settings.added[0], "- NET_BIND_SERVICE", "capabilities.add[0]"),
        (settings.dropped[0], "- ALL", "capabilities.drop[0]"),
        (settings.no_new_privs, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation"),
    ):
        line = next(number for number, line in enumerate(lines, 1) if line.strip() == text)
        assert setting.where == f"ingress-nginx.yaml:{line}: {context}.{path}"
    assert settings.find_mount_over("/usr/local/certificates/cert").value.kind == "secret"
    assert settings.build_argv(["/usr/bin/dumb-init", "--"], ["/nginx-ingress-controller"])[:3] == (
        "/usr/bin/dumb-init",
        "--",
        "/nginx-ingress-controller",
    )


def test_a_volume_hides_the_program_below_it():
    settings = select.find_container(read_pods_of_file("caddy.yaml"), "caddy").settings
    assert settings.find_mount_over("/usr/bin/caddy").value.kind == "emptyDir"
    assert settings.find_mount_over("/data/x").value.kind == "persistentVolumeClaim"
    assert settings.find_mount_over("/usr/sbin/caddy") is None
    # A command also removes the image's CMD.
    assert settings.build_argv(["/entrypoint"], ["cmd"])[0] == "caddy" and "cmd" not in settings.build_argv([], ["cmd"])


def test_host_users_decides_about_the_user_namespace():
    pods = read_pods_of_file("bpf-agent.yaml")
    assert [compute_initial_process(pod.containers[0].settings, image_user="1").user_namespace for pod in pods] == [False, True]
