"""Computes how system calls change the credentials of a process.

Each function has the name of its system call, or says which operation of prctl(2) it is. It takes a Process and returns the
changed one, or raises DeniedError where the kernel returns EPERM. The rules are those of capabilities(7), "Effect of user ID
changes on capabilities" and "The securebits flags", and of setresuid(2), setgroups(2), capset(2) and prctl(2). The kernel
has them in kernel/sys.c and security/commoncap.c (cap_task_fix_setuid, cap_capset, cap_task_prctl).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.capabilities.execve import SECBIT_KEEP_CAPS, Process
from rules_setcap.capabilities.names import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable

SECBIT_NO_SETUID_FIXUP = 1 << 2
SECBIT_KEEP_CAPS_LOCKED = 1 << 5
SECBIT_NO_CAP_AMBIENT_RAISE = 1 << 6
_LOCKS = 0b10101010 | 1 << 9 | 1 << 11
_UNPRIVILEGED = 0b1111 << 8
"""SECBIT_EXEC_RESTRICT_FILE and SECBIT_EXEC_DENY_INTERACTIVE with their locks, which need no capability."""
_ALL_BITS = (1 << 12) - 1

CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_SYS_CHROOT, CAP_SYS_ADMIN = (
    NAMES.index("cap_" + name) for name in ("setgid", "setuid", "setpcap", "sys_chroot", "sys_admin")
)


class DeniedError(Exception):
    """A system call that fails with EPERM.

    Attributes:
      call: the name of the system call, or of the operation of prctl(2).
      capability: the number of the capability with which it would succeed; None if no capability is enough.
    """

    def __init__(self, call: str, capability: int | None = None) -> None:
        """Sets the attributes."""
        super().__init__(call)
        self.call, self.capability = call, capability


def capable(process: Process, capability: int) -> bool:
    """Returns whether the capability of this number is effective."""
    return bool(process.effective >> capability & 1)


def setresuid(process: Process, real: int | None = None, effective: int | None = None, saved: int | None = None) -> Process:
    """Changes the uids as the system call does; None keeps an id."""
    old = (process.ruid, process.euid, process.suid)
    new = tuple(old_id if new_id is None else new_id for old_id, new_id in zip(old, (real, effective, saved), strict=False))
    if not capable(process, CAP_SETUID) and not set(new) <= set(old):
        raise DeniedError("setuid", CAP_SETUID)
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
    """Changes the uids as the system call does: all three with CAP_SETUID, else the effective uid."""
    if capable(process, CAP_SETUID):
        return setresuid(process, uid, uid, uid)
    if uid not in (process.ruid, process.suid):
        raise DeniedError("setuid", CAP_SETUID)
    return setresuid(process, effective=uid)


def setresgid(process: Process, real: int | None = None, effective: int | None = None, saved: int | None = None) -> Process:
    """Changes the gids as the system call does; None keeps an id."""
    old = (process.rgid, process.egid, process.sgid)
    new = tuple(old_id if new_id is None else new_id for old_id, new_id in zip(old, (real, effective, saved), strict=False))
    if not capable(process, CAP_SETGID) and not set(new) <= set(old):
        raise DeniedError("setgid", CAP_SETGID)
    return process._replace(rgid=new[0], egid=new[1], sgid=new[2])


def setgid(process: Process, gid: int) -> Process:
    """Changes the gids as the system call does: all three with CAP_SETGID, else the effective gid."""
    if capable(process, CAP_SETGID):
        return setresgid(process, gid, gid, gid)
    if gid not in (process.rgid, process.sgid):
        raise DeniedError("setgid", CAP_SETGID)
    return setresgid(process, effective=gid)


def setgroups(process: Process, groups: Iterable[int]) -> Process:
    """Changes the groups as the system call does, which needs CAP_SETGID for any groups."""
    if not capable(process, CAP_SETGID):
        raise DeniedError("setgroups", CAP_SETGID)
    return process._replace(groups=tuple(groups))


def capset(
    process: Process, permitted: int | None = None, inheritable: int | None = None, effective: int | None = None
) -> Process:
    """Changes the sets as the system call does; None keeps a set.

    Capabilities that are not permitted and inheritable afterwards leave the ambient set.
    """
    permitted = process.permitted if permitted is None else permitted
    inheritable = process.inheritable if inheritable is None else inheritable
    effective = process.effective if effective is None else effective
    capped = inheritable & ~(process.inheritable | process.permitted) and not capable(process, CAP_SETPCAP)
    if (
        capped
        or inheritable & ~(process.inheritable | process.bounding)
        or permitted & ~process.permitted
        or effective & ~permitted
    ):
        raise DeniedError("capset")
    ambient = process.ambient & permitted & inheritable
    return process._replace(permitted=permitted, inheritable=inheritable, effective=effective, ambient=ambient)


def drop_bounding(process: Process, capabilities: int) -> Process:
    """Applies PR_CAPBSET_DROP of prctl(2) to each capability of a set."""
    if capabilities and not capable(process, CAP_SETPCAP):
        raise DeniedError("PR_CAPBSET_DROP", CAP_SETPCAP)
    return process._replace(bounding=process.bounding & ~capabilities)


def raise_ambient(process: Process, capabilities: int) -> Process:
    """Applies PR_CAP_AMBIENT_RAISE of prctl(2) to each capability of a set."""
    if capabilities & ~(process.permitted & process.inheritable) or (
        capabilities and process.securebits & SECBIT_NO_CAP_AMBIENT_RAISE
    ):
        raise DeniedError("PR_CAP_AMBIENT_RAISE")
    return process._replace(ambient=process.ambient | capabilities)


def set_securebits(process: Process, bits: int) -> Process:
    """Applies PR_SET_SECUREBITS of prctl(2)."""
    old = process.securebits
    locked = (old & _LOCKS) >> 1 & (old ^ bits) or old & _LOCKS & ~bits or bits & ~_ALL_BITS
    if locked or (((old ^ bits) & ~_UNPRIVILEGED or not old ^ bits) and not capable(process, CAP_SETPCAP)):
        raise DeniedError("PR_SET_SECUREBITS", CAP_SETPCAP)
    return process._replace(securebits=bits)


def keep_capabilities(process: Process, keep: bool) -> Process:
    """Applies PR_SET_KEEPCAPS of prctl(2)."""
    if process.securebits & SECBIT_KEEP_CAPS_LOCKED:
        raise DeniedError("PR_SET_KEEPCAPS")
    return process._replace(securebits=process.securebits & ~SECBIT_KEEP_CAPS | (SECBIT_KEEP_CAPS if keep else 0))
