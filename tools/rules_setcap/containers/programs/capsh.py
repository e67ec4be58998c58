"""capsh of libcap."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from rules_setcap.capabilities import credentials, execve
from rules_setcap.capabilities.names import ALL, find_number
from rules_setcap.containers.programs.model import Call, Fails, Lost, Next, chroot, find_group, find_user, group_list
from rules_setcap.containers.programs.users import change


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


def _required(process: execve.Process, capability: int) -> execve.Process:
    """Raises a capability, as cap_setuid(3) and cap_setgroups(3) do; they fail without it."""
    if not process.permitted >> capability & 1:
        raise credentials.DeniedError("capset", capability)
    return _raised(process, capability)


def _names(text: str) -> int:
    mask = 0
    for name in text.split(","):
        bit = find_number(name) if name.startswith("cap_") or name.isdigit() else None
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
    return credentials.capset(raised, inheritable=mask, effective=process.effective)


def _caps(call: Call, process: execve.Process, value: str) -> execve.Process:
    permitted, inheritable, effective = _text(value)
    raised = _raised(process, credentials.CAP_SETPCAP)
    return credentials.capset(raised, permitted, inheritable, effective)


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
    raised = credentials.keep_capabilities(_required(process, credentials.CAP_SETUID), True)
    changed = credentials.keep_capabilities(credentials.setuid(raised, _c_number(value)), False)
    return changed._replace(effective=0)


def _user(call: Call, process: execve.Process, value: str) -> execve.Process:
    user = find_user(call, value)
    if user is None:
        raise Fails(f'no such user: "{value}"')
    raised = _required(process, credentials.CAP_SETGID)
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
    changed = _raised(credentials.capset(process, inheritable=inheritable), credentials.CAP_SETPCAP)
    changed = credentials.raise_ambient(changed._replace(ambient=0), ambient)
    # Those that are not in the set are passed over.
    return credentials.drop_bounding(changed, dropped & process.bounding)._replace(effective=process.effective)


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
