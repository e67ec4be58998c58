"""What a container's securityContext comes to, together with its pod's."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from rules_setcap.containers.settings import Mount, Setting, Settings, normalize_target, parse_capability
from rules_setcap.containers.yaml_documents import Field

_POD_IDS = 1 << 16  # kubelet: userNamespaces.idsPerPod
_LAST_ID = (1 << 31) - 1  # k8s.io/apimachinery, IsValidUserID

# Fields of k8s.io/api/core/v1 (types.go): SecurityContext, PodSecurityContext, Capabilities.
_BOTH = frozenset("appArmorProfile runAsGroup runAsNonRoot runAsUser seLinuxOptions seccompProfile windowsOptions".split())
_OF_CONTAINER = _BOTH.union("allowPrivilegeEscalation capabilities privileged procMount readOnlyRootFilesystem".split())
_OF_POD = _BOTH.union("fsGroup fsGroupChangePolicy seLinuxChangePolicy supplementalGroups supplementalGroupsPolicy sysctls".split())
_OF_CAPABILITIES = frozenset(("add", "drop"))


def settings(container: Field, name: str, spec: Field, volumes: dict[str, str], runtime: str) -> Settings:
    """What the kubelet makes of a container (pkg/securitycontext/util.go, DetermineEffectiveSecurityContext).

    Problems go to the fields' list.

    Args:
      container: the container.
      name: its name.
      spec: its pod's spec.
      volumes: kinds of the pod's volumes by name.
      runtime: the nodes' runtime.
    """
    own, pod = container.get("securityContext"), spec.get("securityContext")
    _known(own, _OF_CONTAINER, "")
    _known(pod, _OF_POD, "only a container has it; move it to the container's securityContext")
    for misplaced in sorted(_OF_CONTAINER):
        for owner in (container, spec):
            if here := owner.get(misplaced):
                here.problem("belongs into securityContext; Kubernetes ignores it here", misplaced)
    _check_proc_mount(own, spec)
    image = container.get("image")
    adds = own.at("capabilities", "add") if own else None
    drops = own.at("capabilities", "drop") if own else None
    _known(own.get("capabilities") if own else None, _OF_CAPABILITIES, "")
    privileged = _said(own, "privileged", Field.boolean)
    escalation = _said(own, "allowPrivilegeEscalation", Field.boolean)
    if escalation and not escalation.value:
        _refused(own, adds, privileged)
    user, group = _id("runAsUser", own, pod), _id("runAsGroup", own, pod)
    group_of_pod = pod.get("runAsGroup") if pod else None
    if group_of_pod and pod and not pod.get("runAsUser") and runtime == "containerd":
        # containerd internal/cri/server/podsandbox/sandbox_run_linux.go: "user group is specified without user"
        what = "containerd does not start a pod with a group and without a user; add runAsUser beside it, or move it to the containers"
        group_of_pod.problem(what)
    return Settings(
        where=container.where,
        engine_name=runtime,
        name=name,
        image=_said(container, "image", Field.scalar) if image else None,
        user=Setting(f"{user.value}:{group.value}" if group else str(user.value), user.where) if user else None,
        added=_capabilities(adds, runtime),
        dropped=_capabilities(drops, runtime),
        privileged=privileged,
        no_new_privs=Setting(not escalation.value, escalation.where) if escalation else None,
        run_as_non_root=_said(own, "runAsNonRoot", Field.boolean) or _said(pod, "runAsNonRoot", Field.boolean),
        entrypoint=_words(container.get("command")),
        command=_words(container.get("args")),
        read_only=_said(own, "readOnlyRootFilesystem", Field.boolean),
        mounts=_mounts(container.get("volumeMounts"), volumes),
        user_namespace=_user_namespace(spec),
        environment=_environment(container.get("env")),
        other_variables=_said(container, "envFrom", lambda field: "envFrom"),
        directory=_said(container, "workingDir", Field.text),
        network=_said(spec, "hostNetwork", lambda field: "host" if field.boolean() else None),
        sysctls=_sysctls(pod),
    )


def volumes(spec: Field, claims: Iterable[Field]) -> dict[str, str]:
    """The kinds of a pod's volumes by name: "emptyDir"; claims are those of a StatefulSet."""
    found = {text: "persistentVolumeClaim" for claim in claims if (text := claim.text())}
    members = spec.get("volumes")
    for volume in members.items() if members else []:
        fields = volume.fields()
        name = fields["name"].text() if "name" in fields else None
        if name:
            found[name] = next((kind for kind in fields if kind != "name"), "emptyDir")
    return found


def _known(field: Field | None, known: frozenset[str], elsewhere: str) -> None:
    """Refuses fields that Kubernetes does not know there, as `kubectl` with validation does."""
    for name, member in field.fields().items() if field else ():
        if name not in known:
            if elsewhere and name in _OF_CONTAINER:
                member.problem(elsewhere, name)
                continue
            near = difflib.get_close_matches(name[:64], sorted(known), n=1, cutoff=0.6)
            member.problem("unknown field" + (f'; did you mean "{near[0]}"?' if near else ""), name)


def _refused(own: Field | None, adds: Field | None, privileged: Setting[bool] | None) -> None:
    """What the API server refuses (pkg/apis/core/validation/validation.go, ValidateSecurityContext).

    The documentation has it that SYS_ADMIN implies allowPrivilegeEscalation: the API server looks for
    "CAP_SYS_ADMIN" alone, and the kubelet sets no_new_privs for what it lets through.
    """
    field = own.get("allowPrivilegeEscalation") if own else None
    if field and privileged and privileged.value:
        field.problem("the API server refuses it together with privileged: true")
    if field and adds and any(name.node.value == "CAP_SYS_ADMIN" for name in adds.items()):
        field.problem("the API server refuses it together with CAP_SYS_ADMIN")


def _check_proc_mount(own: Field | None, spec: Field) -> None:
    """Refuses what the API server does (pkg/apis/core/validation/validation.go, validateProcMount)."""
    proc, users = own.get("procMount") if own else None, spec.get("hostUsers")
    if proc and proc.text() == "Unmasked" and (not users or users.boolean()):
        proc.problem("the API server refuses it unless the pod has hostUsers: false")


def check_sysctls(spec: Field) -> None:
    """Refuses what the API server (pkg/apis/core/validation/validation.go, validateSysctls) and the kernel do."""
    network, users, sysctls = spec.get("hostNetwork"), spec.get("hostUsers"), spec.at("securityContext", "sysctls")
    for member in sysctls.items() if sysctls else []:
        name, value = member.get("name"), member.get("value")
        text = (name.text() if name else None) or ""
        text = text.replace("/", ".")
        if name and network and network.boolean() and text.startswith("net."):
            name.problem("the API server refuses it together with hostNetwork: true")
        last = (value.text() or "").split()[-1:] if value else []
        if text == "net.ipv4.ping_group_range" and users and users.boolean() is False and last and last[0].isdigit():
            if value and int(last[0][:12]) >= _POD_IDS:
                value.problem(f"the pod does not start: with hostUsers: false its groups are 0 to {_POD_IDS - 1} by default")


def _sysctls(pod: Field | None) -> tuple[Setting[tuple[str, str]], ...]:
    members = pod.get("sysctls") if pod else None
    found = []
    for member in members.items() if members else []:
        name, value = member.get("name"), member.get("value")
        if name and value:
            found.append(Setting(((name.text() or "").replace("/", "."), value.text() or ""), member.where))
    return tuple(found)


def _said[T](field: Field | None, name: str, read: Callable[[Field], T | None]) -> Setting[T] | None:
    """What a field says, if it is there and right."""
    member = field.get(name) if field else None
    value = read(member) if member else None
    return Setting(value, member.where) if member and value is not None else None


def _id(name: str, own: Field | None, pod: Field | None) -> Setting[int] | None:
    said = _said(own, name, Field.integer) or _said(pod, name, Field.integer)
    if said and not 0 <= said.value <= _LAST_ID:
        for owner in (own, pod):
            if owner and (member := owner.get(name)) and member.where == said.where:
                member.problem(f"not 0 to {_LAST_ID}")
        return None
    return said


def _capabilities(field: Field | None, runtime: str) -> tuple[Setting[str], ...]:
    found = []
    for member in field.items() if field else []:
        name = member.text()
        if name is not None:
            try:
                found.append(Setting(parse_capability(name, runtime), member.where))
            except ValueError as error:
                member.problem(str(error))
    return tuple(found)


def _words(field: Field | None) -> Setting[tuple[str, ...]] | None:
    """command or args; an empty list says nothing (Kubernetes takes the image's)."""
    words = [word.text() for word in field.items()] if field else []
    return Setting(tuple(word or "" for word in words), field.where) if field and words else None


def _environment(field: Field | None) -> tuple[Setting[tuple[str, str | None]], ...]:
    """env; what valueFrom gives, or refers to another variable, is not known here."""
    found: list[Setting[tuple[str, str | None]]] = []
    for member in field.items() if field else []:
        name, value = member.get("name"), member.get("value")
        text = value.scalar() if value else None
        if name and (of := name.text()):
            known = "" if text is None and not member.get("valueFrom") else text
            found.append(Setting((of, known if known is not None and "$(" not in known else None), member.where))
    return tuple(found)


def _mounts(field: Field | None, volumes: dict[str, str]) -> tuple[Setting[Mount], ...]:
    found = []
    for member in field.items() if field else []:
        name, path = member.get("name"), member.get("mountPath")
        volume, where = name.text() if name else None, path.text() if path else None
        if volume is not None and name and volume not in volumes:
            near = difflib.get_close_matches(volume[:64], volumes, n=1, cutoff=0.6)
            name.problem("the pod has no such volume" + (f'; did you mean "{near[0]}"?' if near else ""))
        if where is None or path is None:
            if not path:
                member.problem("a mount without mountPath", volume or "")
            continue
        try:
            # The API server takes a relative one too, and runtimes put "/" before it.
            found.append(Setting(Mount(normalize_target("/" + where.lstrip("/")), volumes.get(volume or "", ""), None), path.where))
        except ValueError as error:
            path.problem(str(error))
    return tuple(found)


def _user_namespace(spec: Field) -> Setting[str] | None:
    said = _said(spec, "hostUsers", Field.boolean)
    for name in ("hostIPC", "hostNetwork", "hostPID") if said and not said.value else ():
        shared = spec.get(name)
        if shared and shared.boolean():
            # pkg/apis/core/validation/validation.go, validateHostUsers
            shared.problem("the API server refuses it together with hostUsers: false")
    return Setting("host" if said.value else "pod", said.where) if said else None
