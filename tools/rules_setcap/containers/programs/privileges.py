"""Programs that change capabilities, securebits, namespaces and no_new_privs."""

from __future__ import annotations

from dataclasses import replace

from rules_setcap.capabilities import credentials, execve
from rules_setcap.capabilities.names import ALL, NAMES, find_number
from rules_setcap.containers.programs import options
from rules_setcap.containers.programs.model import (
    Call,
    Fails,
    Lost,
    Next,
    State,
    chroot,
    decimal,
    find_group,
    find_user,
    group_list,
)
from rules_setcap.containers.programs.users import directory

_SECUREBITS = {
    name: 1 << bit
    for bit, name in enumerate(
        "noroot noroot_locked no_setuid_fixup no_setuid_fixup_locked keep_caps keep_caps_locked no_cap_ambient_raise "
        "no_cap_ambient_raise_locked exec_restrict_file exec_restrict_file_locked exec_deny_interactive "
        "exec_deny_interactive_locked".split()
    )
}
_NEWER = frozenset(name for name, bit in _SECUREBITS.items() if bit >= 1 << 6)


def setpriv(call: Call) -> Next | None:
    """setpriv of util-linux: setpriv(1); sys-utils/setpriv.c, main."""
    names = {
        "dump": 0, "nnp": 0, "no-new-privs": 0, "inh-caps": 1, "ambient-caps": 1, "list-caps": 0, "ruid": 1, "euid": 1, "rgid": 1,
        "egid": 1, "reuid": 1, "regid": 1, "clear-groups": 0, "keep-groups": 0, "init-groups": 0, "groups": 1, "bounding-set": 1,
        "securebits": 1, "pdeathsig": 1, "ptracer": 1, "selinux-label": 1, "apparmor-profile": 1, "landlock-access": 1,
        "landlock-rule": 1, "seccomp-filter": 1, "reset-env": 0, "help": 0, "version": 0,
    }  # fmt: skip
    found, rest = options.read(call.argv[1:], "dhV", names)
    given = {("nnp" if name == "no-new-privs" else name): value for name, value in found}
    if {"d", "dump", "h", "help", "V", "version", "list-caps"} & given.keys():
        return None
    if not rest:
        raise Fails("no program is given")
    if "seccomp-filter" in given:
        raise Lost("installs a seccomp filter")
    process, state = call.state.process, call.state
    user = find_user(call, given.get("reuid", given.get("ruid", ""))) if {"reuid", "ruid"} & given.keys() else None

    def uid(text: str) -> int:
        found_user = find_user(call, text)
        return found_user.uid if found_user else _id(text)

    def gid(text: str) -> int:
        group = find_group(call, text)
        return group.gid if group else _id(text)

    groups_given = {"clear-groups", "keep-groups", "init-groups", "groups"} & given.keys()
    if {"regid", "rgid", "egid"} & given.keys() and not groups_given:
        raise Fails("a gid needs --clear-groups, --keep-groups, --init-groups or --groups")
    if "reset-env" in given:
        state = _reset(call, given, user.name if user else None)
    if "nnp" in given:
        process = process._replace(no_new_privs=True)
    process = credentials.keep_capabilities(process, True)
    # It raises these for itself where it can; they stay effective up to the execve.
    for bit in (credentials.CAP_SETPCAP, credentials.CAP_SETUID, credentials.CAP_SETGID):
        process = process._replace(effective=process.effective | process.permitted & 1 << bit)
    if {"reuid", "ruid", "euid"} & given.keys():
        raised = process.effective
        real = given.get("reuid", given.get("ruid"))
        effective = given.get("reuid", given.get("euid"))
        new = uid(effective) if effective is not None else process.euid
        process = credentials.setresuid(process, uid(real) if real is not None else None, new, new)
        process = credentials.capset(process, effective=raised)
    if {"regid", "rgid", "egid"} & given.keys():
        real = given.get("regid", given.get("rgid"))
        effective = given.get("regid", given.get("egid"))
        new = gid(effective) if effective is not None else process.egid
        process = credentials.setresgid(process, gid(real) if real is not None else None, new, new)
    if "groups" in given:
        process = credentials.setgroups(process, [gid(each) for each in given["groups"].split(",")])
    elif "init-groups" in given:
        if user is None:
            text = given.get("reuid", given.get("ruid", ""))
            user = find_user(call, text, by_uid=True) if decimal(text) is not None else None
        if user is None:
            raise Fails("--init-groups needs a user that the image knows")
        process = credentials.setgroups(process, group_list(call, user.name, user.gid))
    elif "clear-groups" in given:
        process = credentials.setgroups(process, ())
    if "securebits" in given:
        process = credentials.set_securebits(process, _securebits(process.securebits, given["securebits"]))
    if "bounding-set" in given:
        bounding = _apply(process.bounding, given["bounding-set"])
        if not credentials.capable(process, credentials.CAP_SETPCAP):
            raise credentials.DeniedError("PR_CAPBSET_DROP", credentials.CAP_SETPCAP)
        process = credentials.drop_bounding(process, process.bounding & ~bounding)
    if "inh-caps" in given:
        process = credentials.capset(process, inheritable=_apply(process.inheritable, given["inh-caps"]))
    if "ambient-caps" in given:
        for sign, mask in _changes(given["ambient-caps"]):
            if sign == "-":
                process = process._replace(ambient=process.ambient & ~mask)
            elif not process.securebits & credentials.SECBIT_NO_CAP_AMBIENT_RAISE:
                # Those that the kernel refuses are passed over: the program does not look.
                process = process._replace(ambient=process.ambient | mask & process.permitted & process.inheritable)
    return call.next(rest, replace(state, process=process))


def _id(text: str) -> int:
    found = decimal(text)
    if found is None:
        raise Fails(f'no such user or group: "{text}"')
    return found


def _reset(call: Call, given: dict[str, str], name: str | None) -> State:
    kept = {each: call.state.environment.get(each) for each in ("TERM", "COLORTERM", "NO_COLOR") if each in call.state.environment}
    user = find_user(call, name) if name else find_user(call, str(call.state.process.ruid), by_uid=True)
    if user is None:
        raise Lost("sets variables of a user that the image does not know")
    fresh = {"SHELL": user.shell or "/bin/sh", "HOME": user.home, "USER": user.name, "LOGNAME": user.name}
    return replace(call.state, environment={**kept, **fresh, "PATH": None}, others="")


def _changes(text: str) -> list[tuple[str, int]]:
    """Reads what setpriv's options have: +name, -name, +all."""
    found = []
    for each in text.split(","):
        sign, name = each[:1], each[1:]
        bit = find_number("cap_" + name.removeprefix("cap_")) if name != "all" else None
        if bit is None and name.startswith("cap_"):
            bit = decimal(name[4:])
        if sign not in ("+", "-") or bit is None and name != "all" or bit is not None and bit >= len(NAMES):
            raise Fails(f'not a valid capability: "{each}"')
        found.append((sign, ALL if bit is None else 1 << bit))
    return found


def _apply(mask: int, text: str) -> int:
    for sign, change_to in _changes(text):
        mask = mask | change_to if sign == "+" else mask & ~change_to
    return mask


def _securebits(bits: int, text: str) -> int:
    for each in text.split(","):
        sign, name = each[:1], each[1:]
        if sign == "-" and name == "all":
            bits = 0
        elif name in _NEWER:
            raise Lost(f'has a securebit that only some releases know ("{name}")')
        elif sign not in ("+", "-") or name not in _SECUREBITS or name == "keep_caps":
            raise Fails(f'not a valid securebit: "{each}"')
        elif sign == "+":
            bits |= _SECUREBITS[name]
        else:
            bits &= ~_SECUREBITS[name]
    return bits | execve.SECBIT_KEEP_CAPS


def unshare(call: Call) -> Next | None:
    """unshare of util-linux: unshare(1); sys-utils/unshare.c, main."""
    names = dict.fromkeys(_OPTIONAL, 2) | dict.fromkeys(_VALUES, 1) | dict.fromkeys(_FLAGS, 0)
    found, rest = options.read(call.argv[1:], "fhVmuinpCTUrR:w:S:G:cl:", names)
    given = {_UNSHARE.get(name, name): value for name, value in found}
    if {"h", "V"} & given.keys():
        return None
    if _OF_USER_NAMESPACES & given.keys():
        raise Lost("makes a user namespace")
    if {"clear-env", "whitelist-env", "l", "setgroups"} & given.keys():
        raise Lost("has options that are not followed here")
    made = set("muinpCT") & given.keys() or "mount-proc" in given
    if made and not credentials.capable(call.state.process, credentials.CAP_SYS_ADMIN):
        raise credentials.DeniedError("unshare", credentials.CAP_SYS_ADMIN)
    state = call.state
    if "R" in given:
        state = replace(chroot(call, state, given["R"]), directory="/")
    if "w" in given:
        state = replace(state, directory=directory(state, given["w"]))
    process = state.process
    if "G" in given:
        process = credentials.setgid(credentials.setgroups(process, ()), _id(given["G"]))
    if "S" in given:
        process = credentials.setuid(process, _id(given["S"]))
    # --keep-caps counts with a user namespace alone.
    state = replace(state, process=process)
    return call.next(rest or (state.variable("SHELL") or "/bin/sh",), state)


_OPTIONAL = "mount uts ipc net pid user cgroup time kill-child mount-proc mount-binfmt".split()
_VALUES = (
    "map-user map-users map-group map-groups owner propagation setgroups setuid setgid root wd monotonic boottime load-interp "
    "whitelist-env"
).split()
_FLAGS = "fork forward-signals map-root-user map-current-user map-auto map-subids keep-caps clear-env help version".split()
_OF_USER_NAMESPACES = frozenset(
    "U r c map-user map-users map-group map-groups map-auto map-subids owner mount-binfmt".split()
)
_UNSHARE = {
    "mount": "m", "uts": "u", "ipc": "i", "net": "n", "pid": "p", "user": "U", "cgroup": "C", "time": "T", "fork": "f",
    "map-root-user": "r", "map-current-user": "c", "setuid": "S", "setgid": "G", "root": "R", "wd": "w", "load-interp": "l",
    "help": "h", "version": "V",
}  # fmt: skip
