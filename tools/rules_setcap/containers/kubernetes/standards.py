"""Evaluates pods by the Pod Security Standards: the level that a pod satisfies, and its violations of higher levels.

All controls of Kubernetes 1.36 are evaluated, for Linux and Windows ("Pod Security Standards" of its documentation, and
k8s.io/pod-security-admission v0.36.0, policy/check_*.go).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rules_setcap.containers.kubernetes.pods import Pod
from rules_setcap.containers.settings import Setting, Settings
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.documents.yaml_documents import Field

VERSION = "v1.36"
LEVELS = ("privileged", "baseline", "restricted")


@dataclass(frozen=True)
class Violation:
    """A violation of a control by a pod.

    Attributes:
      level: the lowest level that has the control, "baseline" or "restricted".
      control: the name of the control in the documentation.
      where: the file, line and path of the field; those of the mapping that lacks it, if the field must be set.
      value: the value of the field; "" if it has none.
      what: what would satisfy the control.
    """

    level: str
    control: str
    where: str
    value: str
    what: str


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a pod.

    Attributes:
      level: the highest level that the pod satisfies.
      violations: the violations of higher levels, those of baseline first.
    """

    level: str
    violations: tuple[Violation, ...]


def evaluate_pod(pod: Pod) -> Evaluation:
    """Evaluates a pod as the admission controller of VERSION does.

    Raises:
      InputError: fields have a wrong type; the error has all of them.
    """
    before = len(pod.spec.problems)
    violations = (*_check_baseline(pod), *_check_restricted(pod))
    if problems := list(pod.spec.problems)[before:]:
        raise InputError(problems)
    violated = {violation.level for violation in violations}
    level = "privileged" if "baseline" in violated else "baseline" if violated else "restricted"
    return Evaluation(level, violations)


def conform_settings(settings: Settings, level: str) -> Settings:
    """Returns the settings of a container, changed to those that a level requires if capabilities depend on them.

    Args:
      settings: the settings.
      level: one of LEVELS.
    """
    if level == "privileged":
        return settings
    names = _CAPABILITIES if level == "baseline" else {"NET_BIND_SERVICE"}
    added = tuple(setting for setting in settings.added if setting.value.removeprefix("cap_").upper() in names)
    privileged = None if settings.privileged and settings.privileged.value else settings.privileged
    settings = replace(settings, added=added, privileged=privileged)
    if level == "restricted":
        where = f"the level {level}"
        if not settings.no_new_privs or not settings.no_new_privs.value:
            settings = replace(settings, no_new_privs=Setting(True, where))
        if not any(setting.value == "all" for setting in settings.dropped):
            settings = replace(settings, dropped=(*settings.dropped, Setting("all", where)))
    return settings


# The allowed values, from the documentation.
_CAPABILITIES = frozenset(
    """
    AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT
    """.split()
)
_SELINUX_TYPES = frozenset(("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"))
_SYSCTLS = frozenset(
    """
    kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.ip_local_reserved_ports
    net.ipv4.ip_unprivileged_port_start net.ipv4.ping_group_range net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl
    net.ipv4.tcp_keepalive_probes net.ipv4.tcp_keepalive_time net.ipv4.tcp_rmem net.ipv4.tcp_syncookies net.ipv4.tcp_wmem
    """.split()
)
_PROFILES = frozenset(("RuntimeDefault", "Localhost"))
_VOLUMES = frozenset("configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret".split())
_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


def _find_contexts(pod: Pod) -> Iterator[Field]:
    """Yields the securityContexts of the pod and of its containers."""
    for owner in (pod.spec, *(container.field for container in pod.containers)):
        if context := owner.get("securityContext"):
            yield context


def _read_texts(field: Field | None) -> Iterator[tuple[Field, str]]:
    """Yields the members of a list that are texts, and their texts."""
    for member in field.items() if field else ():
        text = member.text()
        if text is not None:
            yield member, text


def _read_text(field: Field | None) -> str | None:
    return field.text() if field else None


def _read_boolean(field: Field | None) -> bool | None:
    return field.boolean() if field else None


def _has_user_namespace(pod: Pod) -> bool:
    """Returns whether the pod has its own user namespace, for which some controls are relaxed."""
    return _read_boolean(pod.spec.get("hostUsers")) is False


def _check_baseline(pod: Pod) -> Iterator[Violation]:
    """Yields the violations of the level baseline by a pod."""
    for context in _find_contexts(pod):
        host = context.at("windowsOptions", "hostProcess")
        if host and _read_boolean(host):
            yield _make_baseline("HostProcess", host, "leave it out")
        profile = context.get("appArmorProfile")
        if profile and _read_text(profile.get("type")) not in _PROFILES:
            yield _make_baseline(
                "AppArmor", profile.get("type") or profile, 'type is "RuntimeDefault" or "Localhost", or leave it out'
            )
        options = context.get("seLinuxOptions")
        if options:
            kind = options.get("type")
            if kind and _read_text(kind) not in _SELINUX_TYPES:
                yield _make_baseline("SELinux", kind, "one of " + ", ".join(sorted(_SELINUX_TYPES - {""})) + ", or leave it out")
            for name in ("user", "role"):
                member = options.get(name)
                if member and _read_text(member):
                    yield _make_baseline("SELinux", member, "leave it out")
        seccomp = context.get("seccompProfile")
        if seccomp and _read_text(seccomp.get("type")) not in _PROFILES:
            yield _make_baseline("Seccomp", seccomp.get("type") or seccomp, 'type is "RuntimeDefault" or "Localhost"')
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        member = pod.spec.get(name)
        if member and _read_boolean(member):
            yield _make_baseline("Host Namespaces", member, "leave it out")
    for volume in _list_members(pod.spec, "volumes"):
        if path := volume.get("hostPath"):
            yield _make_baseline("HostPath Volumes", path, "another kind of volume", "hostPath")
    annotations = pod.metadata.get("annotations") if pod.metadata else None
    for name, member in annotations.fields().items() if annotations else ():
        value = _read_text(member)
        is_allowed = value in (None, "", "runtime/default") or str(value).startswith("localhost/")
        if name.startswith(_APPARMOR_ANNOTATION) and not is_allowed:
            yield _make_baseline("AppArmor", member, '"runtime/default" or "localhost/...", or leave it out')
    for sysctl in _list_members(pod.spec.get("securityContext"), "sysctls"):
        name_field = sysctl.get("name")
        if _read_text(name_field) not in _SYSCTLS:
            yield _make_baseline("Sysctls", name_field or sysctl, "only safe ones may be set")
    for container in pod.containers:
        yield from _check_baseline_of_container(container.field, _has_user_namespace(pod))


def _check_baseline_of_container(container: Field, has_user_namespace: bool) -> Iterator[Violation]:
    """Yields the violations of the level baseline by a container."""
    context = container.get("securityContext")
    if context:
        privileged = context.get("privileged")
        if privileged and _read_boolean(privileged):
            yield _make_baseline("Privileged Containers", privileged, "leave it out")
        for member, name in _read_texts(context.at("capabilities", "add")):
            if name not in _CAPABILITIES:
                yield _make_baseline("Capabilities", member, "one of " + ", ".join(sorted(_CAPABILITIES)))
        mount = context.get("procMount")
        if mount and _read_text(mount) != "Default" and not has_user_namespace:
            yield _make_baseline("/proc Mount Type", mount, '"Default", or leave it out')
    for port in _list_members(container, "ports"):
        number = port.get("hostPort")
        if number and number.integer():
            yield _make_baseline("Host Ports", number, "leave it out")
    handlers = [container.get(name) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
    handlers += [container.at("lifecycle", name) for name in ("postStart", "preStop")]
    for handler in handlers:
        for kind in ("httpGet", "tcpSocket"):
            host = handler.at(kind, "host") if handler else None
            if host and _read_text(host):
                yield _make_baseline("Host Probes / Lifecycle Hooks", host, "leave it out")


def _check_restricted(pod: Pod) -> Iterator[Violation]:
    """Yields the violations of the level restricted, without those of baseline, by a pod."""
    has_user_namespace = _has_user_namespace(pod)
    context = pod.spec.get("securityContext")
    for volume in _list_members(pod.spec, "volumes"):
        kinds = [kind for kind in volume.fields() if kind != "name"]
        if kinds and not _VOLUMES.intersection(kinds):
            yield _make_restricted("Volume Types", volume, "one of " + ", ".join(sorted(_VOLUMES)), kinds[0])
    non_root = context.get("runAsNonRoot") if context else None
    if non_root and _read_boolean(non_root) is False and not has_user_namespace:
        yield _make_restricted("Running as Non-root", non_root, "true")
    user = context.get("runAsUser") if context else None
    if user and user.integer() == 0 and not has_user_namespace:
        yield _make_restricted("Running as Non-root user", user, "any but 0, or leave it out")
    non_root_is_set = bool(non_root and _read_boolean(non_root))
    is_windows = _read_text(pod.spec.at("os", "name")) == "windows"
    for container in pod.containers:
        yield from _check_restricted_user(container.field, has_user_namespace, non_root_is_set)
        if not is_windows:
            yield from _check_restricted_privileges(container.field, context)


def _check_restricted_user(container: Field, has_user_namespace: bool, non_root_is_set: bool) -> Iterator[Violation]:
    """Yields the violations of the level restricted by the user and the procMount of a container.

    Args:
      container: the container.
      has_user_namespace: whether the pod has its own user namespace.
      non_root_is_set: whether the pod sets runAsNonRoot: true.
    """
    context = container.get("securityContext")
    if not has_user_namespace:
        non_root = context.get("runAsNonRoot") if context else None
        if non_root and _read_boolean(non_root) is False:
            yield _make_restricted("Running as Non-root", non_root, "true")
        elif not non_root and not non_root_is_set:
            what = "set securityContext.runAsNonRoot: true here or for the pod"
            yield _make_restricted("Running as Non-root", context or container, what, "")
        user = context.get("runAsUser") if context else None
        if user and user.integer() == 0:
            yield _make_restricted("Running as Non-root user", user, "any but 0, or leave it out")
    mount = context.get("procMount") if context else None
    if mount and _read_text(mount) != "Default" and has_user_namespace:
        yield _make_restricted("/proc Mount Type", mount, '"Default", or leave it out')


def _check_restricted_privileges(container: Field, pod_context: Field | None) -> Iterator[Violation]:
    """Yields the violations of the level restricted by the privileges of a container of Linux.

    Args:
      container: the container.
      pod_context: the securityContext of its pod.
    """
    context = container.get("securityContext")
    place = context or container
    escalation = context.get("allowPrivilegeEscalation") if context else None
    if escalation is None or _read_boolean(escalation):
        what = "set securityContext.allowPrivilegeEscalation: false"
        yield _make_restricted("Privilege Escalation", escalation or place, what, None if escalation else "")
    seccomp = pod_context.at("seccompProfile", "type") if pod_context else None
    if not (context and context.get("seccompProfile")) and _read_text(seccomp) not in _PROFILES:
        what = 'set securityContext.seccompProfile.type: "RuntimeDefault" here or for the pod'
        yield _make_restricted("Seccomp", place, what, "")
    drops = context.at("capabilities", "drop") if context else None
    if not any(name == "ALL" for _, name in _read_texts(drops)):
        yield _make_restricted("Capabilities", drops or place, 'securityContext.capabilities.drop must have "ALL"', "")
    for member, name in _read_texts(context.at("capabilities", "add") if context else None):
        if name != "NET_BIND_SERVICE" and name in _CAPABILITIES:
            yield _make_restricted("Capabilities", member, "only NET_BIND_SERVICE may be added")


def _make_baseline(control: str, field: Field, what: str, value: str | None = None) -> Violation:
    """Returns a violation of the level baseline; the value is that of the field unless it is given."""
    return Violation("baseline", control, field.where, _format_value(field) if value is None else value, what)


def _make_restricted(control: str, field: Field, what: str, value: str | None = None) -> Violation:
    """Returns a violation of the level restricted; the value is that of the field unless it is given."""
    return Violation("restricted", control, field.where, _format_value(field) if value is None else value, what)


def _list_members(field: Field | None, name: str) -> list[Field]:
    """Returns the members of a list in a mapping."""
    members = field.get(name) if field else None
    return members.items() if members else []


def _format_value(field: Field) -> str:
    """Returns the value of a field if it is a text, a number or a boolean; otherwise ""."""
    return field.node.value if isinstance(field.node.value, str) else ""
