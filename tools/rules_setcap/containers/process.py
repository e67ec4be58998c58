"""What a container's first process has just before its execve(2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rules_setcap.capabilities.names import ALL, NAMES, lower, number
from rules_setcap.containers.engines import Engine, EngineBehaviour
from rules_setcap.containers.settings import Setting, Settings, format_engine_name
from rules_setcap.diagnostics.errors import InputError, problem, quote

_LAST_UID = (1 << 31) - 1  # moby daemon/oci_linux.go, getUser; Kubernetes' IsValidUserID
_POD_IDS = 1 << 16  # kubelet: userNamespaces.idsPerPod
_PODMAN_LABEL = "io.containers.capabilities"  # containers/common pkg/capabilities, ContainerImageLabels


@dataclass(frozen=True)
class InitialProcess:
    """A process that is about to execve the container's first program.

    The sets are masks: bit n means capability n.

    Attributes:
      uid: in the container's user namespace.
      bounding: capabilities(7), "Thread capability sets".
      permitted: likewise.
      effective: likewise.
      inheritable: likewise.
      ambient: likewise.
      no_new_privs: prctl(2), PR_SET_NO_NEW_PRIVS.
      user_namespace: whether it is in a user namespace of its own, where capabilities
        rule over that alone; None where the engine's own set-up decides.
      because: for each attribute above a sentence: who says so, or what by default.
    """

    uid: int
    bounding: int
    permitted: int
    effective: int
    inheritable: int
    ambient: int
    no_new_privs: bool
    user_namespace: bool | None
    because: Mapping[str, str]


def compute_initial_process(
    settings: Settings,
    runtime: Engine | None = None,
    image_user: str = "",
    uids: Mapping[str, int] | None = None,
    image_labels: Mapping[str, str] | None = None,
    host_uid: int = 1000,
    gids: Mapping[str, int] | None = None,
) -> InitialProcess:
    """What `settings` come to.

    Args:
      settings: what was said.
      runtime: who runs it; the newest of settings.engine_name if None.
      image_user: the image's USER.
      uids: uid by name, as in the image's /etc/passwd; empty if the image has no such file. None if
        that is not known: then root is 0, and other names are not known.
      image_labels: the image's labels; podman has one that limits capabilities.
      host_uid: of whoever runs podman, for --userns=keep-id.
      gids: gid by name, as in the image's /etc/group, likewise.

    Raises:
      InputError: the runtime would refuse to start this, or the user is not known.
    """
    runtime = runtime or Engine(settings.engine_name)
    behaviour = runtime.find_behaviour()
    because: dict[str, str] = {}
    uid = _uid(settings, image_user, uids, host_uid, because)
    _check_groups(settings, image_user, gids)
    granted = _granted(settings, runtime, behaviour, because)
    if runtime.name == "podman":
        granted = _limited(settings, image_labels or {}, granted, because)
    inheritable = granted if behaviour.inheritable else 0
    because["inheritable"] = ("holds what is granted" if behaviour.inheritable else "is empty") + f" ({behaviour.source})"
    held, ambient = granted, 0
    because["ambient"] = f"is empty: {format_engine_name(runtime.name)} sets none"
    because["permitted"] = f"holds what is granted ({behaviour.source})"
    if runtime.name == "podman":
        if not _podman_root(settings, image_user):
            held = inheritable = ambient = _mask(settings.added)
            reason = "holds what --cap-add names, for a user other than root (podman pkg/specgen/generate/security_linux.go)"
            because.update(permitted=reason, inheritable=reason, ambient=reason)
            if inheritable & ~granted:
                # capset(2) refuses inheritable capabilities that are not in the bounding set, and so does the OCI runtime.
                what = f"the OCI runtime refuses it: a user other than root would get {format_capabilities(inheritable & ~granted)}, which are dropped"
                raise InputError([problem(next(one.where for one in settings.added), "all", what)])
    elif uid and not behaviour.keeps:
        held = 0
        because["permitted"] = f"is empty for a user other than root ({behaviour.source})"
    if runtime.name == "cri-o" and settings.privileged and settings.privileged.value:
        inheritable = ambient = ALL
        because["inheritable"] = because["ambient"] = (
            f"holds all capabilities: {settings.privileged.where} (runtime-tools generate/generate.go, SetupPrivileged)"
        )
    because["effective"] = because["permitted"]
    return InitialProcess(
        uid=uid,
        bounding=granted,
        permitted=held,
        effective=held,
        inheritable=inheritable,
        ambient=ambient,
        no_new_privs=_no_new_privs(settings, runtime, because),
        user_namespace=_user_namespace(settings, runtime, because),
        because=because,
    )


def _uid(settings: Settings, image_user: str, uids: Mapping[str, int] | None, host_uid: int, because: dict[str, str]) -> int:
    said, text, where = settings.user, image_user, "the image's user"
    if said and said.value:
        text, where = said.value, said.where
    mode = settings.user_namespace
    name = text.partition(":")[0]
    if name == "" and mode and mode.value.partition(":")[0] == "keep-id":
        because["uid"] = mode.where
        options = dict(part.partition("=")[::2] for part in mode.value.partition(":")[2].split(","))
        uid = int(options["uid"]) if _decimal(options.get("uid", "")) else host_uid
    elif name == "":
        because["uid"] = "neither the container nor the image sets a user"
        uid = 0
    elif _decimal(name):
        because["uid"] = where
        uid = int(name)
    elif uids is not None and name in uids:
        because["uid"] = f"{where}, in the image's /etc/passwd"
        uid = uids[name]
    elif uids is None and name == "root":
        because["uid"] = where
        uid = 0
    else:
        what = "the image's /etc/passwd is not known here" if uids is None else "no such user in the image's /etc/passwd"
        raise InputError([problem(where, text, what + "; write the uid")])
    if uid > _LAST_UID:
        raise InputError([problem(where, text, f"a uid is 0 to {_LAST_UID}")])
    if uid >= _POD_IDS and mode and mode.value == "pod":
        what = f"not in the pod's user namespace, which has the IDs 0 to {_POD_IDS - 1} by default: {mode.where}"
        raise InputError([problem(where, text, what)])
    refused = settings.run_as_non_root
    if refused and refused.value:
        if uid == 0:
            raise InputError([problem(refused.where, True, f"the kubelet does not start it as root ({because['uid']})")])
        if not said and not _decimal(name):
            what = f"the kubelet cannot tell whether the image's user {quote(name)} is root; add runAsUser: {uid}"
            raise InputError([problem(refused.where, True, what)])
    return uid


def _check_groups(settings: Settings, image_user: str, gids: Mapping[str, int] | None) -> None:
    """Checks that the container's groups exist, as engines do (moby/sys user/user.go, GetExecUser and GetAdditionalGroups).

    Raises:
      InputError: with every group that does not.
    """
    said = settings.user
    if settings.form == "kubernetes":
        image_user = ""  # The kubelet passes on the image's user without the group (pkg/kubelet/kuberuntime, getImageUser).
    where, text = (said.where, said.value) if said and said.value else ("the image's user", image_user)
    named = [(where, text.partition(":")[2]), *((one.where, one.value) for one in settings.groups)]
    problems = []
    for where, group in named:
        if _decimal(group):
            if int(group) > _LAST_UID:
                problems.append(problem(where, group, f"gid is out of range (0 to {_LAST_UID})"))
        elif group and gids is not None and group not in gids and not (settings.engine_name == "podman" and group == "keep-groups"):
            problems.append(problem(where, group, "no such group in the image's /etc/group; write the gid"))
    if problems:
        raise InputError(problems)


def _decimal(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 20


def _mask(said: tuple[Setting[str], ...]) -> int:
    mask = 0
    for one in said:
        bit = number(one.value)
        mask |= ALL if bit is None else 1 << bit
    return mask


def _granted(settings: Settings, runtime: Engine, behaviour: EngineBehaviour, because: dict[str, str]) -> int:
    """The capabilities that a runtime grants: its bounding set for the process."""
    add_all = next((one for one in settings.added if one.value == "all"), None)
    drop_all = next((one for one in settings.dropped if one.value == "all"), None)
    added = tuple(one for one in settings.added if one.value != "all")
    dropped = tuple(one for one in settings.dropped if one.value != "all")
    add, drop = _mask(added), _mask(dropped)
    if settings.privileged and settings.privileged.value:
        because["bounding"] = f"holds all capabilities: {settings.privileged.where}"
        return ALL
    if runtime.name == "podman":
        _conflicts(add_all, drop_all, added, dropped)
    # nerdctl drops after it adds, too, but for all (pkg/cmd/container/run_security_linux.go, generateCapOpts).
    kubernetes = runtime.name in ("containerd", "cri-o", "nerdctl")
    if runtime.name == "nerdctl" and drop_all:
        dropped, drop = (), 0
        drop_all = None if add_all else drop_all
    # moby daemon/pkg/oci/caps/utils.go (TweakCapabilities): adding all wins; there, and in
    # containers/common (MergeCapabilities), adding one wins over dropping it. Under Kubernetes
    # what is dropped stays so (containerd internal/cri/opts/spec_opts.go, WithCapabilities;
    # cri-o internal/factory/container/container.go, SpecSetupCapabilities).
    if add_all and not (drop_all and kubernetes):
        base, reason = ALL, f"holds all capabilities: {add_all.where}"
        if not kubernetes:
            added, add = (), 0
    elif drop_all:
        base, reason = 0, f"is empty: {drop_all.where}"
        if not kubernetes:
            dropped, drop = (), 0
    elif runtime.default_capabilities is not None:
        base, reason = runtime.default_capabilities, f"holds those that {format_engine_name(runtime.name)}'s configuration grants"
    else:
        base, reason = behaviour.default_capabilities, f"holds those that {format_engine_name(runtime.name)} grants by default ({behaviour.source})"
    if drop_all and not base and added:
        reason = "holds only " + _listed(added) + f": all others are dropped ({drop_all.where})"
        added_text = ""
    else:
        added_text = _listed(added)
    for verb, text in (("with", added_text), ("without", _listed(dropped))):
        if text:
            reason += f"; {verb} {text}"
    because["bounding"] = reason
    return (base | add) & ~drop if kubernetes else base & ~drop | add


def _listed(said: tuple[Setting[str], ...]) -> str:
    return ", ".join(f"{one.value} ({one.where})" for one in said)


def _conflicts(add_all: Setting[str] | None, drop_all: Setting[str] | None, added: tuple[Setting[str], ...], dropped: tuple[Setting[str], ...]) -> None:
    """What podman refuses (containers/common pkg/capabilities, MergeCapabilities)."""
    problems = []
    if add_all and drop_all:
        problems.append(problem(add_all.where, "all", f"podman refuses that together with all of {drop_all.where}"))
    elif not add_all and not drop_all:
        for one in dropped:
            if any(one.value == other.value for other in added):
                problems.append(problem(one.where, one.value, "podman refuses to add and drop the same capability"))
    if problems:
        raise InputError(problems)


def _limited(settings: Settings, image_labels: Mapping[str, str], granted: int, because: dict[str, str]) -> int:
    """What podman leaves where a label lists all that the container needs."""
    if settings.privileged and settings.privileged.value:
        return granted
    labels = [said for said in settings.labels if said.value[0] == _PODMAN_LABEL]
    where = labels[-1].where if labels else "the image's labels"
    text = labels[-1].value[1] if labels else image_labels.get(_PODMAN_LABEL)
    if text is None:
        return granted
    needed = 0
    for name in text.split(",") if text else []:
        bit = number(name)
        if bit is None and lower(name) != "all":
            raise InputError([problem(where, f"{_PODMAN_LABEL}={text}", f"unknown capability {quote(name)}")])
        needed |= ALL if bit is None else 1 << bit
    if needed & ~granted:
        because["bounding"] += f"; {_PODMAN_LABEL} of {where} wants more, so podman ignores it"
        return granted
    because["bounding"] = f"holds those that {_PODMAN_LABEL} of {where} lists"
    return needed


def _podman_root(settings: Settings, image_user: str) -> bool:
    """Whether podman takes the user for root: by the text, not by the uid."""
    user = (settings.user.value if settings.user and settings.user.value else image_user).partition(":")[0]
    mode = settings.user_namespace.value.partition(":")[0] if settings.user_namespace else ""
    return user in ("root", "0") or (user == "" and mode != "keep-id")


def _no_new_privs(settings: Settings, runtime: Engine, because: dict[str, str]) -> bool:
    said = settings.no_new_privs
    if said:
        because["no_new_privs"] = said.where
        return said.value
    because["no_new_privs"] = {
        "docker": "off unless dockerd runs with --no-new-privileges",
        "nerdctl": "nerdctl's default",
        "podman": "podman's default",
    }.get(runtime.name, "the kubelet sets it for allowPrivilegeEscalation: false alone (pkg/securitycontext/util.go, AddNoNewPrivileges)")
    return False


def _user_namespace(settings: Settings, runtime: Engine, because: dict[str, str]) -> bool | None:
    said = settings.user_namespace
    if said:
        because["user_namespace"] = said.where
    if runtime.name == "docker":
        because.setdefault("user_namespace", "dockerd's --userns-remap, or a rootless dockerd, decides")
        return False if said and said.value == "host" else None
    if runtime.name in ("nerdctl", "podman"):
        because.setdefault("user_namespace", f"there is one if {runtime.name} runs rootless")
        return True if said and said.value != "host" else None
    because.setdefault("user_namespace", "hostUsers is true by default")
    return bool(said and said.value == "pod")


def format_capabilities(mask: int) -> str:
    """The names in a mask, as libcap prints them; "none" for none."""
    return ",".join(name for bit, name in enumerate(NAMES) if mask >> bit & 1) or "none"
