"""Computes the credentials and capability sets of a container's first process just before its execve(2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rules_setcap.capabilities.names import ALL, NAMES, find_number, lower_ascii
from rules_setcap.containers.engines import Engine, EngineBehaviour
from rules_setcap.containers.settings import POD_IDS, Setting, Settings, format_engine_name
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.problems import Problems

_LAST_UID = (1 << 31) - 1  # moby daemon/oci_linux.go, getUser; Kubernetes' IsValidUserID
_PODMAN_LABEL = "io.containers.capabilities"  # containers/common pkg/capabilities, ContainerImageLabels


@dataclass(frozen=True)
class InitialProcess:
    """The process that is about to execute the container's first program.

    The capability sets are masks: bit n stands for capability n. capabilities(7), "Thread capability sets", defines them.

    Attributes:
      uid: the uid in the container's user namespace.
      bounding: the bounding set.
      permitted: the permitted set.
      effective: the effective set.
      inheritable: the inheritable set.
      ambient: the ambient set.
      no_new_privs: whether no_new_privs is set (prctl(2), PR_SET_NO_NEW_PRIVS).
      user_namespace: whether the container has its own user namespace, where capabilities apply to that namespace only.
        None if the set-up of the engine on the host decides.
      because: the reason for each of the attributes above, by its name: a setting, or a default of the engine.
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
    engine: Engine | None = None,
    image_user: str = "",
    uids: Mapping[str, int] | None = None,
    image_labels: Mapping[str, str] | None = None,
    host_uid: int = 1000,
    gids: Mapping[str, int] | None = None,
) -> InitialProcess:
    """Computes the process that an engine makes from the settings of a container.

    Args:
      settings: the settings of the container.
      engine: the engine that runs it; None for the newest version of settings.engine_name.
      image_user: the image's USER.
      uids: the uids by user name in the image's /etc/passwd; empty if the image has no such file. None if the file is not
        known: then "root" is 0, and other names are errors.
      image_labels: the labels of the image. podman reads one that limits capabilities.
      host_uid: the uid of the user who runs podman, for --userns=keep-id.
      gids: the gids by group name in the image's /etc/group; empty and None as for `uids`.

    Raises:
      InputError: the engine would refuse to start the container, or its user is not known.
    """
    engine = engine or Engine(settings.engine_name)
    behaviour = engine.find_behaviour()
    because: dict[str, str] = {}
    uid = _compute_uid(settings, image_user, uids, host_uid, because)
    _check_groups(settings, image_user, gids)
    granted = _compute_granted(settings, engine, behaviour, because)
    if engine.name == "podman":
        granted = _limit_by_label(settings, image_labels or {}, granted, because)
    inheritable = granted if behaviour.sets_inheritable else 0
    because["inheritable"] = ("holds what is granted" if behaviour.sets_inheritable else "is empty") + f" ({behaviour.source})"
    permitted, ambient = granted, 0
    because["ambient"] = f"is empty: {format_engine_name(engine.name)} sets none"
    because["permitted"] = f"holds what is granted ({behaviour.source})"
    if engine.name == "podman":
        if not _is_root_for_podman(settings, image_user):
            permitted = inheritable = ambient = _make_mask(settings.added)
            reason = "holds what --cap-add names, for a user other than root (podman pkg/specgen/generate/security_linux.go)"
            because.update(permitted=reason, inheritable=reason, ambient=reason)
            if missing := inheritable & ~granted:
                # capset(2), and so the OCI runtime, refuses inheritable capabilities that are not in the bounding set.
                what = f"the OCI runtime refuses it: a user other than root would get {format_capabilities(missing)}, which are dropped"
                raise InputError([format_problem(settings.added[0].where, "all", what)])
    elif uid and not behaviour.grants_to_users:
        permitted = 0
        because["permitted"] = f"is empty for a user other than root ({behaviour.source})"
    if engine.name == "cri-o" and settings.privileged and settings.privileged.value:
        inheritable = ambient = ALL
        because["inheritable"] = because["ambient"] = (
            f"holds all capabilities: {settings.privileged.where} (runtime-tools generate/generate.go, SetupPrivileged)"
        )
    because["effective"] = because["permitted"]
    return InitialProcess(
        uid=uid,
        bounding=granted,
        permitted=permitted,
        effective=permitted,
        inheritable=inheritable,
        ambient=ambient,
        no_new_privs=_compute_no_new_privs(settings, engine, because),
        user_namespace=_compute_user_namespace(settings, engine, because),
        because=because,
    )


def _compute_uid(
    settings: Settings, image_user: str, uids: Mapping[str, int] | None, host_uid: int, because: dict[str, str]
) -> int:
    """Returns the uid of the process.

    Raises:
      InputError: the user is not known, out of range, or not allowed to run.
    """
    text, where = image_user, "the image's user"
    if settings.user and settings.user.value:
        text, where = settings.user.value, settings.user.where
    mode = settings.user_namespace
    name = text.partition(":")[0]
    if name == "" and mode and mode.value.partition(":")[0] == "keep-id":
        because["uid"] = mode.where
        options = dict(option.partition("=")[::2] for option in mode.value.partition(":")[2].split(","))
        uid = int(options["uid"]) if _is_decimal(options.get("uid", "")) else host_uid
    elif name == "":
        because["uid"] = "neither the container nor the image sets a user"
        uid = 0
    elif _is_decimal(name):
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
        raise InputError([format_problem(where, text, what + "; write the uid")])
    if uid > _LAST_UID:
        raise InputError([format_problem(where, text, f"uid is out of range (0 to {_LAST_UID})")])
    if what := _find_namespace_fault(uid, mode):
        raise InputError([format_problem(where, text, what)])
    _check_non_root(settings, name, uid, because["uid"])
    return uid


def _find_namespace_fault(number: int, mode: Setting[str] | None) -> str:
    """Returns why a process cannot have a uid or gid in its user namespace; "" if it can."""
    if number < POD_IDS or not mode or mode.value != "pod":
        return ""
    return f"not in the pod's user namespace, which has the IDs 0 to {POD_IDS - 1} by default: {mode.where}"


def _check_non_root(settings: Settings, name: str, uid: int, reason: str) -> None:
    """Checks that the kubelet starts a container with runAsNonRoot.

    Args:
      settings: the settings of the container.
      name: the user, as the settings or the image name it.
      uid: the uid of the user.
      reason: the reason for the uid, for messages.

    Raises:
      InputError: the user is root, or the kubelet cannot tell.
    """
    setting = settings.run_as_non_root
    if not setting or not setting.value:
        return
    if uid == 0:
        raise InputError([format_problem(setting.where, True, f"the kubelet does not start it as root ({reason})")])
    if not settings.user and not _is_decimal(name):
        what = f"the kubelet cannot tell whether the image's user {quote(name)} is root; add runAsUser: {uid}"
        raise InputError([format_problem(setting.where, True, what)])


def _check_groups(settings: Settings, image_user: str, gids: Mapping[str, int] | None) -> None:
    """Checks that the container's groups exist, as engines do (moby/sys user/user.go, GetExecUser and GetAdditionalGroups).

    Raises:
      InputError: groups do not exist or are out of range; the error has all of them.
    """
    if settings.form == "kubernetes":
        image_user = ""  # The kubelet passes on the image's user without the group (pkg/kubelet/kuberuntime, getImageUser).
    user = settings.user if settings.user and settings.user.value else Setting(image_user, "the image's user")
    problems = Problems()
    for setting in (Setting(user.value.partition(":")[2], user.where), *settings.groups):
        group = setting.value
        if _is_decimal(group):
            if int(group) > _LAST_UID:
                problems.add(setting.where, group, f"gid is out of range (0 to {_LAST_UID})")
            elif what := _find_namespace_fault(int(group), settings.user_namespace):
                problems.add(setting.where, group, what)
        elif (
            group and gids is not None and group not in gids and not (settings.engine_name == "podman" and group == "keep-groups")
        ):
            problems.add(setting.where, group, "no such group in the image's /etc/group; write the gid")
    problems.raise_if_any()


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 20


def _make_mask(settings: tuple[Setting[str], ...]) -> int:
    """Returns the mask of capabilities by name, of which "all" is one."""
    mask = 0
    for setting in settings:
        bit = find_number(setting.value)
        mask |= ALL if bit is None else 1 << bit
    return mask


def _compute_granted(settings: Settings, engine: Engine, behaviour: EngineBehaviour, because: dict[str, str]) -> int:
    """Returns the mask of the capabilities that an engine grants: the bounding set of the process."""
    if settings.privileged and settings.privileged.value:
        because["bounding"] = f"holds all capabilities: {settings.privileged.where}"
        return ALL
    add_all = next((setting for setting in settings.added if setting.value == "all"), None)
    drop_all = next((setting for setting in settings.dropped if setting.value == "all"), None)
    added = tuple(setting for setting in settings.added if setting.value != "all")
    dropped = tuple(setting for setting in settings.dropped if setting.value != "all")
    if engine.name == "podman":
        _check_conflicts(add_all, drop_all, added, dropped)
    # Docker (moby daemon/pkg/oci/caps/utils.go, TweakCapabilities) and podman (containers/common, MergeCapabilities): adding
    # a capability wins over dropping it, and adding all wins over dropping all. Engines of Kubernetes drop last (containerd
    # internal/cri/opts/spec_opts.go, WithCapabilities; cri-o internal/factory/container/container.go,
    # SpecSetupCapabilities). So does nerdctl, except for dropping all (pkg/cmd/container/run_security_linux.go,
    # generateCapOpts).
    drops_last = engine.name in ("containerd", "cri-o", "nerdctl")
    if engine.name == "nerdctl" and drop_all:
        dropped = ()
        drop_all = None if add_all else drop_all
    if add_all and not (drop_all and drops_last):
        base, reason = ALL, f"holds all capabilities: {add_all.where}"
        if not drops_last:
            added = ()
    elif drop_all:
        base, reason = 0, f"is empty: {drop_all.where}"
        if not drops_last:
            dropped = ()
    elif engine.default_capabilities is not None:
        base, reason = engine.default_capabilities, f"holds those that {format_engine_name(engine.name)}'s configuration grants"
    else:
        base = behaviour.default_capabilities
        reason = f"holds those that {format_engine_name(engine.name)} grants by default ({behaviour.source})"
    if drop_all and not base and added:
        reason = "holds only " + _format_settings(added) + f": all others are dropped ({drop_all.where})"
    elif added:
        reason += f"; with {_format_settings(added)}"
    if dropped:
        reason += f"; without {_format_settings(dropped)}"
    because["bounding"] = reason
    add, drop = _make_mask(added), _make_mask(dropped)
    return (base | add) & ~drop if drops_last else base & ~drop | add


def _format_settings(settings: tuple[Setting[str], ...]) -> str:
    return ", ".join(f"{setting.value} ({setting.where})" for setting in settings)


def _check_conflicts(
    add_all: Setting[str] | None,
    drop_all: Setting[str] | None,
    added: tuple[Setting[str], ...],
    dropped: tuple[Setting[str], ...],
) -> None:
    """Checks that podman accepts the added and dropped capabilities together.

    The source is containers/common pkg/capabilities, MergeCapabilities.

    Raises:
      InputError: it does not; the error has every conflict.
    """
    problems = Problems()
    if add_all and drop_all:
        problems.add(add_all.where, "all", f"podman refuses that together with all of {drop_all.where}")
    elif not add_all and not drop_all:
        for setting in dropped:
            if any(setting.value == other.value for other in added):
                problems.add(setting.where, setting.value, "podman refuses to add and drop the same capability")
    problems.raise_if_any()


def _limit_by_label(settings: Settings, image_labels: Mapping[str, str], granted: int, because: dict[str, str]) -> int:
    """Returns the granted capabilities that podman leaves if a label lists those that the container needs.

    Raises:
      InputError: the label has an unknown capability.
    """
    if settings.privileged and settings.privileged.value:
        return granted
    labels = [label for label in settings.labels if label.value[0] == _PODMAN_LABEL]
    where = labels[-1].where if labels else "the image's labels"
    text = labels[-1].value[1] if labels else image_labels.get(_PODMAN_LABEL)
    if text is None:
        return granted
    needed = 0
    for name in text.split(",") if text else []:
        bit = find_number(name)
        if bit is None and lower_ascii(name) != "all":
            raise InputError([format_problem(where, f"{_PODMAN_LABEL}={text}", f"unknown capability {quote(name)}")])
        needed |= ALL if bit is None else 1 << bit
    if needed & ~granted:
        because["bounding"] += f"; {_PODMAN_LABEL} of {where} wants more, so podman ignores it"
        return granted
    because["bounding"] = f"holds those that {_PODMAN_LABEL} of {where} lists"
    return needed


def _is_root_for_podman(settings: Settings, image_user: str) -> bool:
    """Returns whether podman takes the user for root. podman compares the text of the user, not its uid."""
    user = (settings.user.value if settings.user and settings.user.value else image_user).partition(":")[0]
    mode = settings.user_namespace.value.partition(":")[0] if settings.user_namespace else ""
    return user in ("root", "0") or (user == "" and mode != "keep-id")


def _compute_no_new_privs(settings: Settings, engine: Engine, because: dict[str, str]) -> bool:
    """Returns whether no_new_privs is set."""
    if settings.no_new_privs:
        because["no_new_privs"] = settings.no_new_privs.where
        return settings.no_new_privs.value
    because["no_new_privs"] = {
        "docker": "off unless dockerd runs with --no-new-privileges",
        "nerdctl": "nerdctl's default",
        "podman": "podman's default",
    }.get(
        engine.name,
        "the kubelet sets it for allowPrivilegeEscalation: false alone (pkg/securitycontext/util.go, AddNoNewPrivileges)",
    )
    return False


def _compute_user_namespace(settings: Settings, engine: Engine, because: dict[str, str]) -> bool | None:
    """Returns whether the container has its own user namespace; None if the set-up of the engine decides."""
    mode = settings.user_namespace
    if mode:
        because["user_namespace"] = mode.where
    if engine.name == "docker":
        because.setdefault("user_namespace", "dockerd's --userns-remap, or a rootless dockerd, decides")
        return False if mode and mode.value == "host" else None
    if engine.name in ("nerdctl", "podman"):
        because.setdefault("user_namespace", f"there is one if {engine.name} runs rootless")
        return True if mode and mode.value != "host" else None
    because.setdefault("user_namespace", "hostUsers is true by default")
    return bool(mode and mode.value == "pod")


def format_capabilities(mask: int) -> str:
    """Returns the names of the capabilities in a mask, as libcap prints them; "none" for an empty mask."""
    return ",".join(name for bit, name in enumerate(NAMES) if mask >> bit & 1) or "none"
