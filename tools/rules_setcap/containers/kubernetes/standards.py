"""Pod Security Standards: the level that a pod satisfies, and what keeps it from the next.

The controls are those of Kubernetes 1.36 ("Pod Security Standards" of its documentation, and
k8s.io/pod-security-admission v0.36.0, policy/check_*.go), all of them, for Linux and Windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rules_setcap.containers.kubernetes.manifests import Pod
from rules_setcap.containers.settings import Setting, Settings
from rules_setcap.containers.yaml_documents import Field
from rules_setcap.diagnostics.errors import InputError

VERSION = "v1.36"
LEVELS = ("privileged", "baseline", "restricted")


@dataclass(frozen=True)
class Violation:
    """A control that a pod breaks.

    Attributes:
      level: the lowest level that has the control, "baseline" or "restricted".
      control: its name in the documentation.
      where: file, line and path of the field; of what lacks the field, if it must be set.
      value: what the field says; "" if nothing.
      what: what would be right.
    """

    level: str
    control: str
    where: str
    value: str
    what: str


@dataclass(frozen=True)
class Evaluation:
    """How a pod stands.

    Attributes:
      level: the highest that it satisfies.
      violations: what keeps it from higher ones, those of baseline first.
    """

    level: str
    violations: tuple[Violation, ...]


def evaluate_pod(pod: Pod) -> Evaluation:
    """The level that a pod satisfies, as the admission controller of VERSION finds it.

    Raises:
      InputError: fields have a wrong type, all of them.
    """
    before = len(pod.spec.problems)
    violations = (*_baseline(pod), *_restricted(pod))
    if problems := list(pod.spec.problems)[before:]:
        raise InputError(problems)
    broken = {violation.level for violation in violations}
    level = "privileged" if "baseline" in broken else "baseline" if broken else "restricted"
    return Evaluation(level, violations)


def conform_settings(settings: Settings, level: str) -> Settings:
    """Returns the settings of a container as a level demands them, as far as capabilities depend on it."""
    if level == "privileged":
        return settings
    names = _CAPABILITIES if level == "baseline" else {"NET_BIND_SERVICE"}
    added = tuple(one for one in settings.added if one.value.removeprefix("cap_").upper() in names)
    privileged = None if settings.privileged and settings.privileged.value else settings.privileged
    settings = replace(settings, added=added, privileged=privileged)
    if level == "restricted":
        where = f"the level {level}"
        if not settings.no_new_privs or not settings.no_new_privs.value:
            settings = replace(settings, no_new_privs=Setting(True, where))
        if not any(one.value == "all" for one in settings.dropped):
            settings = replace(settings, dropped=(*settings.dropped, Setting("all", where)))
    return settings


# The values that the documentation lists.
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


def _contexts(pod: Pod) -> Iterator[Field]:
    """The securityContexts: of the pod, then of its containers."""
    for owner in (pod.spec, *(container.field for container in pod.containers)):
        if context := owner.get("securityContext"):
            yield context


def _texts(field: Field | None) -> Iterator[tuple[Field, str]]:
    """The texts of a list."""
    for member in field.items() if field else ():
        text = member.text()
        if text is not None:
            yield member, text


def _text(field: Field | None) -> str | None:
    return field.text() if field else None


def _true(field: Field | None) -> bool | None:
    return field.boolean() if field else None


def _own_users(pod: Pod) -> bool:
    """Whether the pod has a user namespace of its own, for which some controls are relaxed."""
    return _true(pod.spec.get("hostUsers")) is False


def _baseline(pod: Pod) -> Iterator[Violation]:
    def broken(control: str, field: Field, what: str, value: str | None = None) -> Violation:
        return Violation("baseline", control, field.where, _shown(field) if value is None else value, what)

    for context in _contexts(pod):
        host = context.at("windowsOptions", "hostProcess")
        if host and _true(host):
            yield broken("HostProcess", host, "leave it out")
        profile = context.get("appArmorProfile")
        if profile and _text(profile.get("type")) not in _PROFILES:
            yield broken("AppArmor", profile.get("type") or profile, 'type is "RuntimeDefault" or "Localhost", or leave it out')
        options = context.get("seLinuxOptions")
        if options:
            kind = options.get("type")
            if kind and _text(kind) not in _SELINUX_TYPES:
                yield broken("SELinux", kind, "one of " + ", ".join(sorted(_SELINUX_TYPES - {""})) + ", or leave it out")
            for name in ("user", "role"):
                member = options.get(name)
                if member and _text(member):
                    yield broken("SELinux", member, "leave it out")
        seccomp = context.get("seccompProfile")
        if seccomp and _text(seccomp.get("type")) not in _PROFILES:
            yield broken("Seccomp", seccomp.get("type") or seccomp, 'type is "RuntimeDefault" or "Localhost"')
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        member = pod.spec.get(name)
        if member and _true(member):
            yield broken("Host Namespaces", member, "leave it out")
    for volume in _members(pod.spec, "volumes"):
        if path := volume.get("hostPath"):
            yield broken("HostPath Volumes", path, "another kind of volume", "hostPath")
    annotations = pod.metadata.get("annotations") if pod.metadata else None
    for name, member in annotations.fields().items() if annotations else ():
        value = _text(member)
        if name.startswith(_APPARMOR_ANNOTATION) and value not in (None, "", "runtime/default"):
            if not str(value).startswith("localhost/"):
                yield broken("AppArmor", member, '"runtime/default" or "localhost/...", or leave it out')
    for sysctl in _members(pod.spec.get("securityContext"), "sysctls"):
        named = sysctl.get("name")
        if _text(named) not in _SYSCTLS:
            yield broken("Sysctls", named or sysctl, "only safe ones may be set")
    for container in pod.containers:
        yield from _baseline_container(container.field, _own_users(pod))


def _baseline_container(container: Field, own_users: bool) -> Iterator[Violation]:
    def broken(control: str, field: Field, what: str) -> Violation:
        return Violation("baseline", control, field.where, _shown(field), what)

    context = container.get("securityContext")
    if context:
        privileged = context.get("privileged")
        if privileged and _true(privileged):
            yield broken("Privileged Containers", privileged, "leave it out")
        for member, name in _texts(context.at("capabilities", "add")):
            if name not in _CAPABILITIES:
                yield broken("Capabilities", member, "one of " + ", ".join(sorted(_CAPABILITIES)))
        mount = context.get("procMount")
        if mount and _text(mount) != "Default" and not own_users:
            yield broken("/proc Mount Type", mount, '"Default", or leave it out')
    for port in _members(container, "ports"):
        number = port.get("hostPort")
        if number and number.integer():
            yield broken("Host Ports", number, "leave it out")
    handlers = [(name, container.get(name)) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
    handlers += [(name, container.at("lifecycle", name)) for name in ("postStart", "preStop")]
    for _, handler in handlers:
        for kind in ("httpGet", "tcpSocket"):
            host = handler.at(kind, "host") if handler else None
            if host and _text(host):
                yield broken("Host Probes / Lifecycle Hooks", host, "leave it out")


def _restricted(pod: Pod) -> Iterator[Violation]:
    def broken(control: str, field: Field, what: str, value: str | None = None) -> Violation:
        return Violation("restricted", control, field.where, _shown(field) if value is None else value, what)

    own_users = _own_users(pod)
    windows = _text(pod.spec.at("os", "name")) == "windows"
    context = pod.spec.get("securityContext")
    for volume in _members(pod.spec, "volumes"):
        kinds = [kind for kind in volume.fields() if kind != "name"]
        if kinds and not _VOLUMES.intersection(kinds):
            yield broken("Volume Types", volume, "one of " + ", ".join(sorted(_VOLUMES)), kinds[0])
    non_root = context.get("runAsNonRoot") if context else None
    if non_root and _true(non_root) is False and not own_users:
        yield broken("Running as Non-root", non_root, "true")
    user = context.get("runAsUser") if context else None
    if user and user.integer() == 0 and not own_users:
        yield broken("Running as Non-root user", user, "any but 0, or leave it out")
    seccomp = context.at("seccompProfile", "type") if context else None
    for container in pod.containers:
        field, own = container.field, container.field.get("securityContext")
        here = own or field
        if not own_users:
            said = own.get("runAsNonRoot") if own else None
            if said and _true(said) is False:
                yield broken("Running as Non-root", said, "true")
            elif not said and not (non_root and _true(non_root)):
                yield broken("Running as Non-root", here, "set securityContext.runAsNonRoot: true here or for the pod", "")
            user = own.get("runAsUser") if own else None
            if user and user.integer() == 0:
                yield broken("Running as Non-root user", user, "any but 0, or leave it out")
        mount = own.get("procMount") if own else None
        if mount and _text(mount) != "Default" and own_users:
            yield broken("/proc Mount Type", mount, '"Default", or leave it out')
        if windows:
            continue
        escalation = own.get("allowPrivilegeEscalation") if own else None
        if escalation is None or _true(escalation):
            yield broken(
                "Privilege Escalation",
                escalation or here,
                "set securityContext.allowPrivilegeEscalation: false",
                None if escalation else "",
            )
        if not (own and own.get("seccompProfile")) and _text(seccomp) not in _PROFILES:
            yield broken("Seccomp", here, 'set securityContext.seccompProfile.type: "RuntimeDefault" here or for the pod', "")
        drops = own.at("capabilities", "drop") if own else None
        if not any(name == "ALL" for _, name in _texts(drops)):
            yield broken("Capabilities", drops or here, 'securityContext.capabilities.drop must have "ALL"', "")
        for member, name in _texts(own.at("capabilities", "add") if own else None):
            if name != "NET_BIND_SERVICE" and name in _CAPABILITIES:
                yield broken("Capabilities", member, "only NET_BIND_SERVICE may be added")


def _members(field: Field | None, name: str) -> list[Field]:
    members = field.get(name) if field else None
    return members.items() if members else []


def _shown(field: Field) -> str:
    return field.node.value if isinstance(field.node.value, str) else ""
