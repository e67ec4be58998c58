"""Programs that change capabilities, securebits, namespaces and no_new_privs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from capabilities import credentials, execve
from capabilities.names import ALL, NAMES, number

from . import options
from .model import Call, Fails, Lost, Next, State, chroot, decimal, find_group, find_user, group_list
from .users import change

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
        process = credentials.set_uids(process, uid(real) if real is not None else None, new, new)
        process = credentials.set_sets(process, effective=raised)
    if {"regid", "rgid", "egid"} & given.keys():
        real = given.get("regid", given.get("rgid"))
        effective = given.get("regid", given.get("egid"))
        new = gid(effective) if effective is not None else process.egid
        process = credentials.set_gids(process, gid(real) if real is not None else None, new, new)
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
            raise credentials.Denied("PR_CAPBSET_DROP", credentials.CAP_SETPCAP)
        process = credentials.drop_bounding(process, process.bounding & ~bounding)
    if "inh-caps" in given:
        process = credentials.set_sets(process, inheritable=_apply(process.inheritable, given["inh-caps"]))
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
        bit = number("cap_" + name.removeprefix("cap_")) if name != "all" else None
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


def capsh(call: Call) -> Next | None:
    """capsh of libcap: capsh(1); progs/capsh.c, main. It does what its options say in their order."""
    state, shell = call.state, "/bin/bash"
    for at, argument in enumerate(call.argv[1:], 1):
        if argument is None:
            raise Lost("has arguments that are not known here")
        if argument == "--":
            return Next((shell, *call.argv[at + 1 :]), state, file=shell)
        if argument == "==":
            return Next((call.argv[0], *call.argv[at + 1 :]), state)
        name, _, value = argument.partition("=")
        if name == "--shell":
            shell = value
        elif name == "--chroot":
            raised = _raised(state.process, credentials.CAP_SYS_CHROOT)
            inside = chroot(call, replace(state, process=raised), value)
            state = replace(inside, process=state.process, directory="/")
        elif name in _CAPSH:
            state = replace(state, process=_CAPSH[name](replace(call, state=state), state.process, value))
        elif name not in ("--print", "--quiet", "--strict", "--current", "--modes", "--supports", "--decode", "--has-ambient"):
            raise Lost(f'has an option that is not followed here ("{argument}")')
    return None


def _raised(process: execve.Process, capability: int) -> execve.Process:
    """Raises a capability that is permitted."""
    return process._replace(effective=process.effective | process.permitted & 1 << capability)


def _names(text: str) -> int:
    mask = 0
    for name in text.split(","):
        bit = number(name) if name.startswith("cap_") or name.isdigit() else None
        if bit is None:
            raise Fails(f'not a valid capability: "{name}"')
        mask |= 1 << bit
    return mask


def _drop(call: Call, process: execve.Process, value: str) -> execve.Process:
    raised = _raised(process, credentials.CAP_SETPCAP)
    mask = ALL if value == "all" else _names(value)
    return process._replace(bounding=credentials.drop_bounding(raised, mask).bounding)


def _inheritable(call: Call, process: execve.Process, value: str) -> execve.Process:
    mask = 0 if value in ("", "none") else ALL if value == "all" else _names(value)
    raised = _raised(process, credentials.CAP_SETPCAP)
    return credentials.set_sets(raised, inheritable=mask, effective=process.effective)


def _caps(call: Call, process: execve.Process, value: str) -> execve.Process:
    permitted, inheritable, effective = _text(value)
    raised = _raised(process, credentials.CAP_SETPCAP)
    return credentials.set_sets(raised, permitted, inheritable, effective)


_CLAUSE = re.compile(r"([^=+-]*)((?:[=+-][eip]*)+)", re.ASCII)


def _text(text: str) -> tuple[int, int, int]:
    """Reads a text as cap_from_text(3) does; returns permitted, inheritable, effective. A process may have what a file may not."""
    sets = {"p": 0, "i": 0, "e": 0}
    for clause in text.split():
        match = _CLAUSE.fullmatch(clause)
        if not match:
            raise Fails(f'not a valid text of capabilities: "{text}"')
        mask = ALL if match[1] in ("", "all") else _names(match[1])
        for operator, flags in re.findall("([=+-])([eip]*)", match[2]):
            for flag in sets:
                if operator == "=":
                    sets[flag] &= ~mask
                if flag in flags:
                    sets[flag] = sets[flag] & ~mask if operator == "-" else sets[flag] | mask
    return sets["p"], sets["i"], sets["e"]


def _ambient(call: Call, process: execve.Process, value: str) -> execve.Process:
    mask = ALL if value == "all" else _names(value)
    return credentials.raise_ambient(process, mask)


def _no_ambient(call: Call, process: execve.Process, value: str) -> execve.Process:
    return process._replace(ambient=0)


def _lower_ambient(call: Call, process: execve.Process, value: str) -> execve.Process:
    return process._replace(ambient=process.ambient & ~(ALL if value == "all" else _names(value)))


def _keep(call: Call, process: execve.Process, value: str) -> execve.Process:
    return credentials.keep_capabilities(process, _c_number(value) != 0)


def _set_securebits(call: Call, process: execve.Process, value: str) -> execve.Process:
    return credentials.set_securebits(process, _c_number(value))


def _uid(call: Call, process: execve.Process, value: str) -> execve.Process:
    return credentials.setuid(process, _c_number(value))


def _gid(call: Call, process: execve.Process, value: str) -> execve.Process:
    return credentials.setgid(process, _c_number(value))


def _groups(call: Call, process: execve.Process, value: str) -> execve.Process:
    ids = []
    for each in filter(None, value.split(",")):
        group = None if each[0].isdigit() else find_group(call, each)
        if group is None and not each[0].isdigit():
            raise Fails(f'no such group: "{each}"')
        ids.append(group.gid if group else _c_number(each))
    return credentials.setgroups(process, ids)


def _cap_uid(call: Call, process: execve.Process, value: str) -> execve.Process:
    """cap_setuid(3): what is permitted stays, nothing is effective."""
    raised = credentials.keep_capabilities(_raised(process, credentials.CAP_SETUID), True)
    changed = credentials.keep_capabilities(credentials.setuid(raised, _c_number(value)), False)
    return changed._replace(effective=0)


def _user(call: Call, process: execve.Process, value: str) -> execve.Process:
    user = find_user(call, value)
    if user is None:
        raise Fails(f'no such user: "{value}"')
    raised = _raised(process, credentials.CAP_SETGID)
    changed = change(raised, None, user.gid, group_list(call, user.name, user.gid))._replace(effective=0)
    return _cap_uid(call, changed, str(user.uid))


def _no_new_privs(call: Call, process: execve.Process, value: str) -> execve.Process:
    return process._replace(no_new_privs=True)


def _iab(call: Call, process: execve.Process, value: str) -> execve.Process:
    """cap_iab(3): the inheritable and ambient sets as given, and what is dropped of the bounding set."""
    inheritable = ambient = dropped = 0
    for each in filter(None, value.split(",")):
        name = each.lstrip("!^%")
        marks, mask = each[: len(each) - len(name)], ALL if name == "all" else _names(name)
        if "!" in marks:
            dropped |= mask
        if "^" in marks:
            ambient |= mask
        if "^" in marks or "%" in marks or not marks:
            inheritable |= mask
    # CAP_SETPCAP becomes effective with the inheritable set, too late to let it grow.
    changed = _raised(credentials.set_sets(process, inheritable=inheritable), credentials.CAP_SETPCAP)
    changed = credentials.raise_ambient(changed._replace(ambient=0), ambient)
    return credentials.drop_bounding(changed, dropped)._replace(effective=process.effective)


def _c_number(text: str) -> int:
    """Reads a number as strtoul(3) with base 0 does."""
    try:
        return int(text, 8 if text.startswith("0") and text.isdigit() else 0) if text else 0
    except ValueError:
        raise Fails(f'not a valid number: "{text}"') from None


_CAPSH: dict[str, Callable[[Call, execve.Process, str], execve.Process]] = {
    "--addamb": _ambient,
    "--cap-uid": _cap_uid,
    "--caps": _caps,
    "--delamb": _lower_ambient,
    "--drop": _drop,
    "--gid": _gid,
    "--groups": _groups,
    "--iab": _iab,
    "--inh": _inheritable,
    "--keep": _keep,
    "--no-new-privs": _no_new_privs,
    "--noamb": _no_ambient,
    "--secbits": _set_securebits,
    "--uid": _uid,
    "--user": _user,
}


def unshare(call: Call) -> Next | None:
    """unshare of util-linux: unshare(1); sys-utils/unshare.c, main."""
    optional = {each: 2 for each in ("mount", "uts", "ipc", "net", "pid", "user", "cgroup", "time", "kill-child", "mount-proc", "mount-binfmt")}
    values = ("map-user", "map-users", "map-group", "map-groups", "owner", "propagation", "setgroups", "setuid", "setgid", "root", "wd")
    more = ("monotonic", "boottime", "load-interp", "whitelist-env")
    flags = ("fork", "forward-signals", "map-root-user", "map-current-user", "map-auto", "map-subids", "keep-caps", "clear-env", "help", "version")
    names = optional | {each: 1 for each in (*values, *more)} | {each: 0 for each in flags}
    found, rest = options.read(call.argv[1:], "fhVmuinpCTUrR:w:S:G:cl:", names)
    given = {_UNSHARE.get(name, name): value for name, value in found}
    if {"h", "V"} & given.keys():
        return None
    if {"U", "r", "c", "map-user", "map-users", "map-group", "map-groups", "map-auto", "map-subids", "owner", "mount-binfmt"} & given.keys():
        raise Lost("makes a user namespace")
    if {"clear-env", "whitelist-env", "l", "setgroups"} & given.keys():
        raise Lost("has options that are not followed here")
    if not credentials.capable(call.state.process, credentials.CAP_SYS_ADMIN) and {"m", "u", "i", "n", "p", "C", "T", "mount-proc"} & given.keys():
        raise credentials.Denied("unshare", credentials.CAP_SYS_ADMIN)
    state = call.state
    if "R" in given:
        state = replace(chroot(call, state, given["R"]), directory="/")
    if "w" in given:
        from .users import _directory

        state = replace(state, directory=_directory(state, given["w"]))
    process = state.process
    if "G" in given:
        process = credentials.setgid(credentials.setgroups(process, ()), _id(given["G"]))
    if "S" in given:
        process = credentials.setuid(process, _id(given["S"]))
    # --keep-caps counts with a user namespace alone.
    state = replace(state, process=process)
    return call.next(rest or (state.variable("SHELL") or "/bin/sh",), state)


_UNSHARE = {
    "mount": "m", "uts": "u", "ipc": "i", "net": "n", "pid": "p", "user": "U", "cgroup": "C", "time": "T", "fork": "f",
    "map-root-user": "r", "map-current-user": "c", "setuid": "S", "setgid": "G", "root": "R", "wd": "w", "load-interp": "l",
    "help": "h", "version": "V",
}  # fmt: skip
