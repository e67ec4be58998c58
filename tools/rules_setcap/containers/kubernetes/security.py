"""Reads the settings of a container from its securityContext, and from that of its pod."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from rules_setcap.containers.settings import POD_IDS, Mount, Setting, Settings, normalize_target, parse_capability
from rules_setcap.diagnostics.suggestions import suggest
from rules_setcap.documents.yaml_documents import Field

T = TypeVar("T")

_LAST_ID = (1 << 31) - 1  # k8s.io/apimachinery, IsValidUserID

# Fields of k8s.io/api/core/v1 (types.go): SecurityContext, PodSecurityContext, Capabilities.
_FIELDS_OF_BOTH = frozenset(
    "appArmorProfile runAsGroup runAsNonRoot runAsUser seLinuxOptions seccompProfile windowsOptions".split()
)
_FIELDS_OF_CONTAINER = _FIELDS_OF_BOTH.union(
    "allowPrivilegeEscalation capabilities privileged procMount readOnlyRootFilesystem".split()
)
_FIELDS_OF_POD = _FIELDS_OF_BOTH.union(
    "fsGroup fsGroupChangePolicy seLinuxChangePolicy supplementalGroups supplementalGroupsPolicy sysctls".split()
)
_FIELDS_OF_CAPABILITIES = frozenset(("add", "drop"))


def read_settings(container: Field, name: str, spec: Field, volumes: dict[str, str], engine_name: str) -> Settings:
    """Returns the settings of a container, as the kubelet determines them.

    The source is pkg/securitycontext/util.go, DetermineEffectiveSecurityContext. The fields collect the problems.

    Args:
      container: the container.
      name: its name.
      spec: the spec of its pod.
      volumes: the kinds of the pod's volumes by name.
      engine_name: the engine of the nodes, as Settings.engine_name.
    """
    context, pod_context = container.get("securityContext"), spec.get("securityContext")
    _check_known(context, _FIELDS_OF_CONTAINER, "")
    _check_known(pod_context, _FIELDS_OF_POD, "only a container has it; move it to the container's securityContext")
    for misplaced in sorted(_FIELDS_OF_CONTAINER):
        for owner in (container, spec):
            if field := owner.get(misplaced):
                field.problem("Kubernetes ignores it here; move it to securityContext", misplaced)
    _check_proc_mount(context, spec)
    adds = context.at("capabilities", "add") if context else None
    drops = context.at("capabilities", "drop") if context else None
    _check_known(context.get("capabilities") if context else None, _FIELDS_OF_CAPABILITIES, "")
    privileged = _read_member(context, "privileged", Field.boolean)
    escalation = _read_member(context, "allowPrivilegeEscalation", Field.boolean)
    if escalation and not escalation.value:
        _check_escalation(context, adds, privileged)
    user, group = _read_id("runAsUser", context, pod_context), _read_id("runAsGroup", context, pod_context)
    if engine_name == "containerd":
        _check_pod_group(pod_context)
        _check_pod_ids(pod_context, spec)
    return Settings(
        where=container.where,
        engine_name=engine_name,
        name=name,
        image=_read_member(container, "image", Field.scalar),
        user=Setting(f"{user.value}:{group.value}" if group else str(user.value), user.where) if user else None,
        added=_read_capabilities(adds, engine_name),
        dropped=_read_capabilities(drops, engine_name),
        privileged=privileged,
        no_new_privs=Setting(not escalation.value, escalation.where) if escalation else None,
        run_as_non_root=(
            _read_member(context, "runAsNonRoot", Field.boolean) or _read_member(pod_context, "runAsNonRoot", Field.boolean)
        ),
        entrypoint=_read_words(container.get("command")),
        command=_read_words(container.get("args")),
        read_only=_read_member(context, "readOnlyRootFilesystem", Field.boolean),
        mounts=_read_mounts(container.get("volumeMounts"), volumes),
        user_namespace=_read_user_namespace(spec),
        environment=_read_environment(container.get("env")),
        other_variables=_read_member(container, "envFrom", lambda field: "envFrom"),
        directory=_read_member(container, "workingDir", Field.text),
        network=_read_member(spec, "hostNetwork", lambda field: "host" if field.boolean() else None),
        sysctls=_read_sysctls(pod_context),
        groups=_read_groups(pod_context, None if user else group),
    )


def read_volumes(spec: Field, claims: Iterable[Field]) -> dict[str, str]:
    """Returns the kinds of a pod's volumes, such as "emptyDir", by name.

    Args:
      spec: the spec of the pod.
      claims: the names in volumeClaimTemplates of a StatefulSet.
    """
    kinds = {text: "persistentVolumeClaim" for claim in claims if (text := claim.text())}
    members = spec.get("volumes")
    for volume in members.items() if members else []:
        fields = volume.fields()
        name = fields["name"].text() if "name" in fields else None
        if name:
            kinds[name] = next((kind for kind in fields if kind != "name"), "emptyDir")
    return kinds


def check_sysctls(spec: Field) -> None:
    """Adds problems for sysctls that the API server or the kernel refuses.

    The source for the API server is pkg/apis/core/validation/validation.go, validateSysctls.
    """
    network, users, sysctls = spec.get("hostNetwork"), spec.get("hostUsers"), spec.at("securityContext", "sysctls")
    for member in sysctls.items() if sysctls else []:
        name, value = member.get("name"), member.get("value")
        text = (name.text() if name else None) or ""
        text = text.replace("/", ".")
        if name and network and network.boolean() and text.startswith("net."):
            name.problem("the API server refuses it together with hostNetwork: true")
        last = (value.text() or "").split()[-1:] if value else []
        is_range = text == "net.ipv4.ping_group_range" and last and last[0].isascii() and last[0].isdigit()
        if is_range and value and users and users.boolean() is False and int(last[0][:12]) >= POD_IDS:
            value.problem(f"the pod does not start: with hostUsers: false its groups are 0 to {POD_IDS - 1} by default")


def _check_known(field: Field | None, known: frozenset[str], advice: str) -> None:
    """Adds a problem for each member that Kubernetes does not know, as `kubectl` with validation does.

    Args:
      field: a securityContext, or a part of it.
      known: the names of members that Kubernetes knows there.
      advice: the message for a member that a container's securityContext may have; "" for none.
    """
    for name, member in field.fields().items() if field else ():
        if name not in known:
            if advice and name in _FIELDS_OF_CONTAINER:
                member.problem(advice, name)
            else:
                member.problem("unknown field" + suggest(name, sorted(known)), name)


def _check_escalation(context: Field | None, adds: Field | None, privileged: Setting[bool] | None) -> None:
    """Adds a problem for settings that the API server refuses together with allowPrivilegeEscalation: false.

    The source is pkg/apis/core/validation/validation.go, ValidateSecurityContext. According to the documentation, SYS_ADMIN
    implies allowPrivilegeEscalation. But the API server compares with "CAP_SYS_ADMIN" only, and the kubelet sets
    no_new_privs for all that it accepts.
    """
    field = context.get("allowPrivilegeEscalation") if context else None
    if field and privileged and privileged.value:
        field.problem("the API server refuses it together with privileged: true")
    if field and adds and any(name.node.value == "CAP_SYS_ADMIN" for name in adds.items()):
        field.problem("the API server refuses it together with CAP_SYS_ADMIN")


def _check_proc_mount(context: Field | None, spec: Field) -> None:
    """Adds a problem for a procMount that the API server refuses (pkg/apis/core/validation/validation.go, validateProcMount)."""
    proc, users = context.get("procMount") if context else None, spec.get("hostUsers")
    if proc and proc.text() == "Unmasked" and (not users or users.boolean()):
        proc.problem("the API server refuses it unless the pod has hostUsers: false")


def _check_pod_group(pod_context: Field | None) -> None:
    """Adds a problem for a pod with a group and without a user, which containerd does not start.

    The source is internal/cri/server/podsandbox/sandbox_run_linux.go: "user group is specified without user".
    """
    group = pod_context.get("runAsGroup") if pod_context else None
    if group and pod_context and not pod_context.get("runAsUser"):
        what = "containerd does not start a pod with a group and without a user; add runAsUser beside it, or move it to the containers"
        group.problem(what)


def _check_pod_ids(pod_context: Field | None, spec: Field) -> None:
    """Adds a problem for each ID of a pod that is not in its user namespace.

    The first process of the sandbox has these IDs, also if each container has others. The source is runc's libcontainer,
    init_linux.go, setupUser.
    """
    users = spec.get("hostUsers")
    for name in ("runAsUser", "runAsGroup") if users and users.boolean() is False else ():
        field = pod_context.get(name) if pod_context else None
        if field and (value := field.integer()) is not None and POD_IDS <= value <= _LAST_ID:
            field.problem(
                f"the pod does not start: with hostUsers: false its IDs are 0 to {POD_IDS - 1} by default; write one of these"
            )


def _read_groups(pod_context: Field | None, group: Setting[int] | None) -> tuple[Setting[str], ...]:
    """Returns the groups that a container gets besides those of its user.

    Args:
      pod_context: the securityContext of the pod, which has supplementalGroups and fsGroup.
      group: runAsGroup, if the user is that of the image.
    """
    added = pod_context.get("supplementalGroups") if pod_context else None
    fields = [*(added.items() if added else ()), pod_context.get("fsGroup") if pod_context else None]
    groups = [Setting(str(gid), field.where) for field in fields if field and (gid := field.integer()) is not None]
    return (*groups, Setting(str(group.value), group.where)) if group else tuple(groups)


def _read_sysctls(pod_context: Field | None) -> tuple[Setting[tuple[str, str]], ...]:
    """Returns the names, with dots, and the values of a pod's sysctls."""
    members = pod_context.get("sysctls") if pod_context else None
    sysctls = []
    for member in members.items() if members else []:
        name, value = member.get("name"), member.get("value")
        if name and value:
            sysctls.append(Setting(((name.text() or "").replace("/", "."), value.text() or ""), member.where))
    return tuple(sysctls)


def _read_member(field: Field | None, name: str, read: Callable[[Field], T | None]) -> Setting[T] | None:
    """Returns the value of a member; None if it does not exist or is not valid.

    Args:
      field: the mapping.
      name: the name of the member.
      read: returns the value of a field; None, and a problem of the field, if it is not valid.
    """
    member = field.get(name) if field else None
    value = read(member) if member else None
    return Setting(value, member.where) if member and value is not None else None


def _read_id(name: str, context: Field | None, pod_context: Field | None) -> Setting[int] | None:
    """Returns a uid or gid from the securityContext of a container, or else from that of its pod."""
    setting = _read_member(context, name, Field.integer) or _read_member(pod_context, name, Field.integer)
    if setting and not 0 <= setting.value <= _LAST_ID:
        for owner in (context, pod_context):
            if owner and (member := owner.get(name)) and member.where == setting.where:
                member.problem(f"out of range (0 to {_LAST_ID})")
        return None
    return setting


def _read_capabilities(field: Field | None, engine_name: str) -> tuple[Setting[str], ...]:
    """Returns the capabilities of a list, as parse_capability() spells them."""
    capabilities = []
    for member in field.items() if field else []:
        name = member.text()
        if name is not None:
            try:
                capabilities.append(Setting(parse_capability(name, engine_name), member.where))
            except ValueError as error:
                member.problem(str(error))
    return tuple(capabilities)


def _read_words(field: Field | None) -> Setting[tuple[str, ...]] | None:
    """Returns the words of command or args; None for an empty list, for which Kubernetes takes the image's."""
    words = [word.text() for word in field.items()] if field else []
    return Setting(tuple(word or "" for word in words), field.where) if field and words else None


def _read_environment(field: Field | None) -> tuple[Setting[tuple[str, str | None]], ...]:
    """Returns the variables of env. A value that comes from valueFrom, or refers to another variable, is not known."""
    variables: list[Setting[tuple[str, str | None]]] = []
    for member in field.items() if field else []:
        name, value = member.get("name"), member.get("value")
        text = value.scalar() if value else None
        if name and (variable := name.text()):
            if text is None and not member.get("valueFrom"):
                text = ""
            variables.append(Setting((variable, None if text is None or "$(" in text else text), member.where))
    return tuple(variables)


def _read_mounts(field: Field | None, volumes: dict[str, str]) -> tuple[Setting[Mount], ...]:
    """Returns the mounts of volumeMounts.

    Args:
      field: volumeMounts.
      volumes: the kinds of the pod's volumes by name.
    """
    mounts = []
    for member in field.items() if field else []:
        name, path = member.get("name"), member.get("mountPath")
        volume, target = name.text() if name else None, path.text() if path else None
        if volume is not None and name and volume not in volumes:
            name.problem("the pod has no such volume" + suggest(volume, volumes))
        if target is None or path is None:
            if not path:
                member.problem("a mount without mountPath", volume or "")
            continue
        try:
            # The API server also accepts a relative path, and engines prefix "/".
            mount = Mount(normalize_target("/" + target.lstrip("/")), volumes.get(volume or "", ""), None)
            mounts.append(Setting(mount, path.where))
        except ValueError as error:
            path.problem(str(error))
    return tuple(mounts)


def _read_user_namespace(spec: Field) -> Setting[str] | None:
    """Returns the user namespace of a pod, "host" or "pod"; None if the pod does not set it."""
    users = _read_member(spec, "hostUsers", Field.boolean)
    for name in ("hostIPC", "hostNetwork", "hostPID") if users and not users.value else ():
        shared = spec.get(name)
        if shared and shared.boolean():
            # pkg/apis/core/validation/validation.go, validateHostUsers
            shared.problem("the API server refuses it together with hostUsers: false")
    return Setting("host" if users.value else "pod", users.where) if users else None
