"""Programs that change capabilities, securebits, namespaces and no_new_privs.

The models agree with setpriv and unshare of util-linux 2.42.4 (tests/getcap/programs_test.py).
"""

from __future__ import annotations

from dataclasses import replace

from rules_setcap.capabilities import credentials, execve
from rules_setcap.capabilities.names import ALL, NAMES, find_number
from rules_setcap.containers.program_model import (
    Call,
    Execution,
    NotFollowed,
    ProcessState,
    ProgramFails,
    change_root,
    find_group,
    find_user,
    list_group_ids,
    parse_decimal,
)
from rules_setcap.containers.programs import options
from rules_setcap.containers.programs.users import resolve_directory

_SECUREBITS = {
    name: 1 << bit
    for bit, name in enumerate(
        "noroot noroot_locked no_setuid_fixup no_setuid_fixup_locked keep_caps keep_caps_locked no_cap_ambient_raise "
        "no_cap_ambient_raise_locked exec_restrict_file exec_restrict_file_locked exec_deny_interactive "
        "exec_deny_interactive_locked".split()
    )
}
"""The masks of securebits, by the name that setpriv has for each."""
_NEW_SECUREBITS = frozenset(name for name, bit in _SECUREBITS.items() if bit >= 1 << 6)
"""The names that only some releases of setpriv know."""


def follow_setpriv(call: Call) -> Execution | None:
    """Follows setpriv of util-linux: setpriv(1); sys-utils/setpriv.c, main."""
    names = {
        "dump": 0, "nnp": 0, "no-new-privs": 0, "inh-caps": 1, "ambient-caps": 1, "list-caps": 0, "ruid": 1, "euid": 1, "rgid": 1,
        "egid": 1, "reuid": 1, "regid": 1, "clear-groups": 0, "keep-groups": 0, "init-groups": 0, "groups": 1, "bounding-set": 1,
        "securebits": 1, "pdeathsig": 1, "ptracer": 1, "selinux-label": 1, "apparmor-profile": 1, "landlock-access": 1,
        "landlock-rule": 1, "seccomp-filter": 1, "reset-env": 0, "help": 0, "version": 0,
    }  # fmt: skip
    parsed, rest = options.parse_options(call.argv[1:], "dhV", names)
    values = {("nnp" if name == "no-new-privs" else name): value for name, value in parsed}
    if {"d", "dump", "h", "help", "V", "version", "list-caps"} & values.keys():
        return None
    if not rest:
        raise ProgramFails("no program is given")
    if "seccomp-filter" in values:
        raise NotFollowed("installs a seccomp filter")
    process, state = call.state.process, call.state
    user = find_user(call, values.get("reuid", values.get("ruid", ""))) if {"reuid", "ruid"} & values.keys() else None

    def parse_uid(text: str) -> int:
        named_user = find_user(call, text)
        return named_user.uid if named_user else _parse_id(text)

    def parse_gid(text: str) -> int:
        group = find_group(call, text)
        return group.gid if group else _parse_id(text)

    group_options = {"clear-groups", "keep-groups", "init-groups", "groups"} & values.keys()
    if {"regid", "rgid", "egid"} & values.keys() and not group_options:
        raise ProgramFails("a gid needs --clear-groups, --keep-groups, --init-groups or --groups")
    if "reset-env" in values:
        state = _reset_environment(call, user.name if user else None)
    if "nnp" in values:
        process = process._replace(no_new_privs=True)
    process = credentials.keep_capabilities(process, True)
    # setpriv makes these effective for itself if they are permitted, and they stay so up to the execve.
    for bit in (credentials.CAP_SETPCAP, credentials.CAP_SETUID, credentials.CAP_SETGID):
        process = process._replace(effective=process.effective | process.permitted & 1 << bit)
    if {"reuid", "ruid", "euid"} & values.keys():
        raised = process.effective
        real = values.get("reuid", values.get("ruid"))
        effective = values.get("reuid", values.get("euid"))
        new = parse_uid(effective) if effective is not None else process.euid
        process = credentials.setresuid(process, parse_uid(real) if real is not None else None, new, new)
        process = credentials.capset(process, effective=raised)
    if {"regid", "rgid", "egid"} & values.keys():
        real = values.get("regid", values.get("rgid"))
        effective = values.get("regid", values.get("egid"))
        new = parse_gid(effective) if effective is not None else process.egid
        process = credentials.setresgid(process, parse_gid(real) if real is not None else None, new, new)
    if "groups" in values:
        process = credentials.setgroups(process, [parse_gid(name) for name in values["groups"].split(",")])
    elif "init-groups" in values:
        if user is None:
            text = values.get("reuid", values.get("ruid", ""))
            user = find_user(call, text, by_uid=True) if parse_decimal(text) is not None else None
        if user is None:
            raise ProgramFails("--init-groups needs a user that the image knows")
        process = credentials.setgroups(process, list_group_ids(call, user.name, user.gid))
    elif "clear-groups" in values:
        process = credentials.setgroups(process, ())
    if "securebits" in values:
        process = credentials.set_securebits(process, _parse_securebits(process.securebits, values["securebits"]))
    if "bounding-set" in values:
        bounding = _apply_changes(process.bounding, values["bounding-set"])
        if not credentials.capable(process, credentials.CAP_SETPCAP):
            raise credentials.DeniedError("PR_CAPBSET_DROP", credentials.CAP_SETPCAP)
        process = credentials.drop_bounding(process, process.bounding & ~bounding)
    if "inh-caps" in values:
        process = credentials.capset(process, inheritable=_apply_changes(process.inheritable, values["inh-caps"]))
    if "ambient-caps" in values:
        for sign, mask in _parse_changes(values["ambient-caps"]):
            if sign == "-":
                process = process._replace(ambient=process.ambient & ~mask)
            elif not process.securebits & credentials.SECBIT_NO_CAP_AMBIENT_RAISE:
                # setpriv ignores the error of prctl(2) for a capability that is not permitted and inheritable.
                process = process._replace(ambient=process.ambient | mask & process.permitted & process.inheritable)
    return call.execute(rest, replace(state, process=process))


def _parse_id(text: str) -> int:
    """Parses a uid or gid, which is not the name of a user or group."""
    number = parse_decimal(text)
    if number is None:
        raise ProgramFails(f'no such user or group: "{text}"')
    return number


def _reset_environment(call: Call, user_name: str | None) -> ProcessState:
    """Returns the state after --reset-env.

    Args:
      call: the running setpriv.
      user_name: the user that it changes to; None if it does not change the user.
    """
    environment = call.state.environment
    kept = {name: environment.get(name) for name in ("TERM", "COLORTERM", "NO_COLOR") if name in environment}
    user = find_user(call, user_name) if user_name else find_user(call, str(call.state.process.ruid), by_uid=True)
    if user is None:
        raise NotFollowed("sets variables of a user that the image does not know")
    fresh = {"SHELL": user.shell or "/bin/sh", "HOME": user.home, "USER": user.name, "LOGNAME": user.name}
    return replace(call.state, environment={**kept, **fresh, "PATH": None}, others="")


def _parse_changes(text: str) -> list[tuple[str, int]]:
    """Parses a list such as +net_raw,-chown,+all; returns the sign and the mask of each change."""
    changes = []
    for change in text.split(","):
        sign, name = change[:1], change[1:]
        bit = find_number("cap_" + name.removeprefix("cap_")) if name != "all" else None
        if bit is None and name.startswith("cap_"):
            bit = parse_decimal(name[4:])
        if sign not in ("+", "-") or (bit is None and name != "all") or (bit is not None and bit >= len(NAMES)):
            raise ProgramFails(f'not a valid capability: "{change}"')
        changes.append((sign, ALL if bit is None else 1 << bit))
    return changes


def _apply_changes(mask: int, text: str) -> int:
    """Returns a set of capabilities after the changes of a list."""
    for sign, changed in _parse_changes(text):
        mask = mask | changed if sign == "+" else mask & ~changed
    return mask


def _parse_securebits(bits: int, text: str) -> int:
    """Returns the securebits after the changes of a list such as +noroot,-noroot_locked."""
    for change in text.split(","):
        sign, name = change[:1], change[1:]
        if sign == "-" and name == "all":
            bits = 0
        elif name in _NEW_SECUREBITS:
            raise NotFollowed(f'has a securebit that only some releases know ("{name}")')
        elif sign not in ("+", "-") or name not in _SECUREBITS or name == "keep_caps":
            raise ProgramFails(f'not a valid securebit: "{change}"')
        elif sign == "+":
            bits |= _SECUREBITS[name]
        else:
            bits &= ~_SECUREBITS[name]
    return bits | execve.SECBIT_KEEP_CAPS


def follow_unshare(call: Call) -> Execution | None:
    """Follows unshare of util-linux: unshare(1); sys-utils/unshare.c, main. A new user namespace is not followed."""
    names = dict.fromkeys(_UNSHARE_OPTIONAL, 2) | dict.fromkeys(_UNSHARE_VALUES, 1) | dict.fromkeys(_UNSHARE_FLAGS, 0)
    parsed, rest = options.parse_options(call.argv[1:], "fhVmuinpCTUrR:w:S:G:cl:", names)
    values = {_UNSHARE_LETTERS.get(name, name): value for name, value in parsed}
    if {"h", "V"} & values.keys():
        return None
    if _USER_NAMESPACE_OPTIONS & values.keys():
        raise NotFollowed("makes a user namespace")
    if {"clear-env", "whitelist-env", "l", "setgroups"} & values.keys():
        raise NotFollowed("has options that are not followed here")
    makes_namespace = set("muinpCT") & values.keys() or "mount-proc" in values
    if makes_namespace and not credentials.capable(call.state.process, credentials.CAP_SYS_ADMIN):
        raise credentials.DeniedError("unshare", credentials.CAP_SYS_ADMIN)
    state = call.state
    if "R" in values:
        state = replace(change_root(call, state, values["R"]), directory="/")
    if "w" in values:
        state = replace(state, directory=resolve_directory(state, values["w"]))
    process = state.process
    if "G" in values:
        process = credentials.setgid(credentials.setgroups(process, ()), _parse_id(values["G"]))
    if "S" in values:
        process = credentials.setuid(process, _parse_id(values["S"]))
    # --keep-caps has an effect only with a new user namespace.
    state = replace(state, process=process)
    return call.execute(rest or (state.get_variable("SHELL") or "/bin/sh",), state)


_UNSHARE_OPTIONAL = "mount uts ipc net pid user cgroup time kill-child mount-proc mount-binfmt".split()
_UNSHARE_VALUES = (
    "map-user map-users map-group map-groups owner propagation setgroups setuid setgid root wd monotonic boottime load-interp "
    "whitelist-env"
).split()
_UNSHARE_FLAGS = (
    "fork forward-signals map-root-user map-current-user map-auto map-subids keep-caps clear-env help version".split()
)
_USER_NAMESPACE_OPTIONS = frozenset(
    "U r c map-user map-users map-group map-groups map-auto map-subids owner mount-binfmt".split()
)
_UNSHARE_LETTERS = {
    "mount": "m", "uts": "u", "ipc": "i", "net": "n", "pid": "p", "user": "U", "cgroup": "C", "time": "T", "fork": "f",
    "map-root-user": "r", "map-current-user": "c", "setuid": "S", "setgid": "G", "root": "R", "wd": "w", "load-interp": "l",
    "help": "h", "version": "V",
}  # fmt: skip
