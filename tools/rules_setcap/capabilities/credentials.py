"""Computes what the system calls that change a process's credentials make of them.

The functions take a Process and return the changed one, or raise Denied where the kernel returns EPERM. The rules are
those of capabilities(7), "Effect of user ID changes on capabilities" and "The securebits flags", and of setresuid(2),
setgroups(2), capset(2) and prctl(2). The kernel's code is in kernel/sys.c and security/commoncap.c
(cap_task_fix_setuid, cap_capset, cap_task_prctl).
"""

from __future__ import annotations

from collections.abc import Iterable

from rules_setcap.capabilities.execve import SECBIT_KEEP_CAPS, Process
from rules_setcap.capabilities.names import NAMES

SECBIT_NO_SETUID_FIXUP = 1 << 2
SECBIT_KEEP_CAPS_LOCKED = 1 << 5
SECBIT_NO_CAP_AMBIENT_RAISE = 1 << 6
_LOCKS = 0b10101010 | 1 << 9 | 1 << 11
_UNPRIVILEGED = 0b1111 << 8
"""SECBIT_EXEC_RESTRICT_FILE and SECBIT_EXEC_DENY_INTERACTIVE with their locks: no capability is needed for them."""
_ALL_BITS = (1 << 12) - 1

CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_SYS_CHROOT, CAP_SYS_ADMIN = (
    NAMES.index("cap_" + name) for name in ("setgid", "setuid", "setpcap", "sys_chroot", "sys_admin")
)


class Denied(Exception):
    """A system call that fails with EPERM.

    Attributes:
      call: its name.
      capability: the number of the capability with which it would succeed; None if no capability is enough.
    """

    def __init__(self, call: str, capability: int | None = None) -> None:
        super().__init__(call)
        self.call, self.capability = call, capability


def capable(process: Process, capability: int) -> bool:
    """Returns whether a capability is effective."""
    return bool(process.effective >> capability & 1)


def set_uids(process: Process, real: int | None = None, effective: int | None = None, saved: int | None = None) -> Process:
    """setresuid(2); None leaves an id as it is."""
    old = (process.ruid, process.euid, process.suid)
    new = tuple(had if given is None else given for had, given in zip(old, (real, effective, saved)))
    if not capable(process, CAP_SETUID) and not set(new) <= set(old):
        raise Denied("setuid", CAP_SETUID)
    permitted, raised, ambient = process.permitted, process.effective, process.ambient
    if not process.securebits & SECBIT_NO_SETUID_FIXUP:
        if 0 in old and 0 not in new:
            if not process.securebits & SECBIT_KEEP_CAPS:
                permitted = raised = 0
            ambient = 0
        if old[1] == 0 and new[1] != 0:
            raised = 0
        if old[1] != 0 and new[1] == 0:
            raised = permitted
    return process._replace(ruid=new[0], euid=new[1], suid=new[2], permitted=permitted, effective=raised, ambient=ambient)


def setuid(process: Process, uid: int) -> Process:
    """setuid(2): all three ids with CAP_SETUID, else the effective one."""
    if capable(process, CAP_SETUID):
        return set_uids(process, uid, uid, uid)
    if uid not in (process.ruid, process.suid):
        raise Denied("setuid", CAP_SETUID)
    return set_uids(process, effective=uid)


def set_gids(process: Process, real: int | None = None, effective: int | None = None, saved: int | None = None) -> Process:
    """setresgid(2); None leaves an id as it is."""
    old = (process.rgid, process.egid, process.sgid)
    new = tuple(had if given is None else given for had, given in zip(old, (real, effective, saved)))
    if not capable(process, CAP_SETGID) and not set(new) <= set(old):
        raise Denied("setgid", CAP_SETGID)
    return process._replace(rgid=new[0], egid=new[1], sgid=new[2])


def setgid(process: Process, gid: int) -> Process:
    """setgid(2)."""
    if capable(process, CAP_SETGID):
        return set_gids(process, gid, gid, gid)
    if gid not in (process.rgid, process.sgid):
        raise Denied("setgid", CAP_SETGID)
    return set_gids(process, effective=gid)


def setgroups(process: Process, groups: Iterable[int]) -> Process:
    """setgroups(2): needs CAP_SETGID, whatever the groups are."""
    if not capable(process, CAP_SETGID):
        raise Denied("setgroups", CAP_SETGID)
    return process._replace(groups=tuple(groups))


def set_sets(process: Process, permitted: int | None = None, inheritable: int | None = None, effective: int | None = None) -> Process:
    """capset(2); None leaves a set as it is. Ambient capabilities that are no longer permitted and inheritable go."""
    permitted = process.permitted if permitted is None else permitted
    inheritable = process.inheritable if inheritable is None else inheritable
    effective = process.effective if effective is None else effective
    capped = inheritable & ~(process.inheritable | process.permitted) and not capable(process, CAP_SETPCAP)
    if capped or inheritable & ~(process.inheritable | process.bounding) or permitted & ~process.permitted or effective & ~permitted:
        raise Denied("capset")
    ambient = process.ambient & permitted & inheritable
    return process._replace(permitted=permitted, inheritable=inheritable, effective=effective, ambient=ambient)


def drop_bounding(process: Process, capabilities: int) -> Process:
    """prctl(2), PR_CAPBSET_DROP, for each."""
    if capabilities and not capable(process, CAP_SETPCAP):
        raise Denied("PR_CAPBSET_DROP", CAP_SETPCAP)
    return process._replace(bounding=process.bounding & ~capabilities)


def raise_ambient(process: Process, capabilities: int) -> Process:
    """prctl(2), PR_CAP_AMBIENT_RAISE, for each."""
    if capabilities & ~(process.permitted & process.inheritable) or capabilities and process.securebits & SECBIT_NO_CAP_AMBIENT_RAISE:
        raise Denied("PR_CAP_AMBIENT_RAISE")
    return process._replace(ambient=process.ambient | capabilities)


def set_securebits(process: Process, bits: int) -> Process:
    """prctl(2), PR_SET_SECUREBITS."""
    old = process.securebits
    locked = (old & _LOCKS) >> 1 & (old ^ bits) or old & _LOCKS & ~bits or bits & ~_ALL_BITS
    if locked or ((old ^ bits) & ~_UNPRIVILEGED or not old ^ bits) and not capable(process, CAP_SETPCAP):
        raise Denied("PR_SET_SECUREBITS", CAP_SETPCAP)
    return process._replace(securebits=bits)


def keep_capabilities(process: Process, keep: bool) -> Process:
    """prctl(2), PR_SET_KEEPCAPS."""
    if process.securebits & SECBIT_KEEP_CAPS_LOCKED:
        raise Denied("PR_SET_KEEPCAPS")
    return process._replace(securebits=process.securebits & ~SECBIT_KEEP_CAPS | (SECBIT_KEEP_CAPS if keep else 0))
