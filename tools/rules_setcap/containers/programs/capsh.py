"""capsh of libcap.

The model agrees with libcap 2.78 (tests/getcap/programs_test.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from rules_setcap.capabilities import credentials, execve
from rules_setcap.capabilities.names import ALL, find_number
from rules_setcap.containers.program_model import (
    Call,
    Execution,
    NotFollowed,
    ProgramFails,
    change_root,
    find_group,
    find_user,
    list_group_ids,
)
from rules_setcap.containers.programs.users import change_ids


def follow_capsh(call: Call) -> Execution | None:
    """Follows capsh, which applies its options in their order: capsh(1); progs/capsh.c, main."""
    state, shell = call.state, "/bin/bash"
    for at, argument in enumerate(call.argv[1:], 1):
        if argument is None:
            raise NotFollowed("has arguments that are not known here")
        if argument == "--":
            return Execution((shell, *call.argv[at + 1 :]), state, file=shell)
        if argument == "==":
            return Execution((call.argv[0], *call.argv[at + 1 :]), state)
        name, _, value = argument.partition("=")
        if name == "--shell":
            shell = value
        elif name == "--chroot":
            raised = _raise_effective(state.process, credentials.CAP_SYS_CHROOT)
            inside = change_root(call, replace(state, process=raised), value)
            state = replace(inside, process=state.process, directory="/")
        elif name in _OPTIONS:
            state = replace(state, process=_OPTIONS[name](replace(call, state=state), state.process, value))
        elif name not in ("--print", "--quiet", "--strict", "--current", "--modes", "--supports", "--decode", "--has-ambient"):
            raise NotFollowed(f'has an option that is not followed here ("{argument}")')
    return None


def _raise_effective(process: execve.Process, capability: int) -> execve.Process:
    """Returns the process with a capability effective if it is permitted."""
    return process._replace(effective=process.effective | process.permitted & 1 << capability)


def _require_effective(process: execve.Process, capability: int) -> execve.Process:
    """Returns the process with a capability effective, as cap_setuid(3) and cap_setgroups(3) make it.

    Raises:
      Denied: the capability is not permitted.
    """
    if not process.permitted >> capability & 1:
        raise credentials.DeniedError("capset", capability)
    return _raise_effective(process, capability)


def _parse_names(text: str) -> int:
    """Returns the mask of names or numbers of capabilities with commas between."""
    mask = 0
    for name in text.split(","):
        bit = find_number(name) if name.startswith("cap_") or name.isdigit() else None
        if bit is None:
            raise ProgramFails(f'not a valid capability: "{name}"')
        mask |= 1 << bit
    return mask


def _apply_drop(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Drops capabilities from the bounding set (--drop)."""
    raised = _raise_effective(process, credentials.CAP_SETPCAP)
    mask = ALL if value == "all" else _parse_names(value)
    return process._replace(bounding=credentials.drop_bounding(raised, mask).bounding)


def _apply_inh(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Sets the inheritable set (--inh)."""
    mask = 0 if value in ("", "none") else ALL if value == "all" else _parse_names(value)
    raised = _raise_effective(process, credentials.CAP_SETPCAP)
    return credentials.capset(raised, inheritable=mask, effective=process.effective)


def _apply_caps(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Sets the permitted, inheritable and effective sets (--caps)."""
    permitted, inheritable, effective = _parse_sets(value)
    raised = _raise_effective(process, credentials.CAP_SETPCAP)
    return credentials.capset(raised, permitted, inheritable, effective)


_CLAUSE = re.compile(r"([^=+-]*)((?:[=+-][eip]*)+)", re.ASCII)


def _parse_sets(text: str) -> tuple[int, int, int]:
    """Parses a text of capabilities as cap_from_text(3) does.

    capabilities.from_text() is not used: the effective set of a process is independent of the other sets.

    Returns:
      The permitted, inheritable and effective sets, as masks.
    """
    sets = {"p": 0, "i": 0, "e": 0}
    for clause in text.split():
        match = _CLAUSE.fullmatch(clause)
        if not match:
            raise ProgramFails(f'not a valid text of capabilities: "{text}"')
        mask = ALL if match[1] in ("", "all") else _parse_names(match[1])
        for operator, flags in re.findall("([=+-])([eip]*)", match[2]):
            for flag, old in sets.items():
                kept = old & ~mask if operator == "=" else old
                if flag in flags:
                    kept = kept & ~mask if operator == "-" else kept | mask
                sets[flag] = kept
    return sets["p"], sets["i"], sets["e"]


def _apply_addamb(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Raises ambient capabilities (--addamb)."""
    mask = ALL if value == "all" else _parse_names(value)
    return credentials.raise_ambient(process, mask)


def _apply_noamb(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Clears the ambient set (--noamb)."""
    return process._replace(ambient=0)


def _apply_delamb(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Lowers ambient capabilities (--delamb)."""
    return process._replace(ambient=process.ambient & ~(ALL if value == "all" else _parse_names(value)))


def _apply_keep(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Sets or clears SECBIT_KEEP_CAPS (--keep)."""
    return credentials.keep_capabilities(process, _parse_c_number(value) != 0)


def _apply_secbits(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Sets the securebits (--secbits)."""
    return credentials.set_securebits(process, _parse_c_number(value))


def _apply_uid(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Changes the uid by setuid(2) (--uid)."""
    return credentials.setuid(process, _parse_c_number(value))


def _apply_gid(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Changes the gid by setgid(2) (--gid)."""
    return credentials.setgid(process, _parse_c_number(value))


def _apply_groups(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Sets the supplementary groups (--groups)."""
    ids = []
    for name in filter(None, value.split(",")):
        group = None if name[0].isdigit() else find_group(call, name)
        if group is None and not name[0].isdigit():
            raise ProgramFails(f'no such group: "{name}"')
        ids.append(group.gid if group else _parse_c_number(name))
    return credentials.setgroups(process, ids)


def _apply_cap_uid(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Changes the uid by cap_setuid(3): the permitted set stays, the effective set is emptied (--cap-uid)."""
    raised = credentials.keep_capabilities(_require_effective(process, credentials.CAP_SETUID), True)
    changed = credentials.keep_capabilities(credentials.setuid(raised, _parse_c_number(value)), False)
    return changed._replace(effective=0)


def _apply_user(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Changes to a user with its groups, by cap_setgroups(3) and cap_setuid(3) (--user)."""
    user = find_user(call, value)
    if user is None:
        raise ProgramFails(f'no such user: "{value}"')
    raised = _require_effective(process, credentials.CAP_SETGID)
    changed = change_ids(raised, None, user.gid, list_group_ids(call, user.name, user.gid))._replace(effective=0)
    return _apply_cap_uid(call, changed, str(user.uid))


def _apply_no_new_privs(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Sets no_new_privs (--no-new-privs)."""
    return process._replace(no_new_privs=True)


def _apply_iab(call: Call, process: execve.Process, value: str) -> execve.Process:
    """Sets the inheritable and ambient sets, and drops capabilities from the bounding set, as cap_iab(3) does (--iab)."""
    inheritable = ambient = dropped = 0
    for marked in filter(None, value.split(",")):
        name = marked.lstrip("!^%")
        marks, mask = marked[: len(marked) - len(name)], ALL if name == "all" else _parse_names(name)
        if "!" in marks:
            dropped |= mask
        if "^" in marks:
            ambient |= mask
        if "^" in marks or "%" in marks or not marks:
            inheritable |= mask
    # libcap makes CAP_SETPCAP effective together with the new inheritable set, so it does not help that set to grow.
    changed = _raise_effective(credentials.capset(process, inheritable=inheritable), credentials.CAP_SETPCAP)
    changed = credentials.raise_ambient(changed._replace(ambient=0), ambient)
    # libcap passes over the capabilities that are not in the bounding set.
    return credentials.drop_bounding(changed, dropped & process.bounding)._replace(effective=process.effective)


def _parse_c_number(text: str) -> int:
    """Parses a number as strtoul(3) with base 0 does."""
    try:
        return int(text, 8 if text.startswith("0") and text.isdigit() else 0) if text else 0
    except ValueError:
        raise ProgramFails(f'not a valid number: "{text}"') from None


_OPTIONS: dict[str, Callable[[Call, execve.Process, str], execve.Process]] = {
    "--addamb": _apply_addamb,
    "--cap-uid": _apply_cap_uid,
    "--caps": _apply_caps,
    "--delamb": _apply_delamb,
    "--drop": _apply_drop,
    "--gid": _apply_gid,
    "--groups": _apply_groups,
    "--iab": _apply_iab,
    "--inh": _apply_inh,
    "--keep": _apply_keep,
    "--no-new-privs": _apply_no_new_privs,
    "--noamb": _apply_noamb,
    "--secbits": _apply_secbits,
    "--uid": _apply_uid,
    "--user": _apply_user,
}
"""The options that change the process: each function takes the call, the process and the option's value, and returns the
changed process."""
