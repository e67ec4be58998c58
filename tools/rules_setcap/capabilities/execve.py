"""What execve(2) makes of a process's credentials, as Linux computes it, and why.

With P, I, A a process's permitted, inheritable and ambient set, X its bounding set, and '
for after (capabilities(7), "Transformation of capabilities during execve()"):

    A' = no file capabilities, no set-user-ID, no set-group-ID ? A : 0
    P' = (X & permitted of the file) | (I & inheritable of the file) | A'
    E' = effective bit of the file ? P' : A'

but for root, no_new_privs and nosuid mounts. The kernel has it in fs/exec.c, bprm_fill_uid,
and security/commoncap.c, cap_bprm_creds_from_file; the tests compare this module with a
running one. Not here: tracers and threads that share a file system (LSM_UNSAFE_PTRACE,
LSM_UNSAFE_SHARE), Linux Security Modules, the boot option no_file_caps.
"""

from __future__ import annotations

import stat
from collections import namedtuple

from rules_setcap.capabilities.errors import CapabilityError
from rules_setcap.capabilities.names import ALL
from rules_setcap.capabilities.sets import FileCapabilities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SECBIT_NOROOT = 1 << 0
SECBIT_KEEP_CAPS = 1 << 4

# The rules, as Step names them, each with its section of capabilities(7) and its function in
# security/commoncap.c unless it says otherwise; one without has those of the one before.
SET_USER_ID = "set-user-id"
"""Effective and saved uid become the file's owner. execve(2); fs/exec.c, bprm_fill_uid."""
SET_GROUP_ID = "set-group-id"
"""Effective and saved gid become the file's group."""
SET_ID_NO_NEW_PRIVS = "set-id-no-new-privs"
"""The set-ID bits do not count: no_new_privs is set."""
SET_ID_UNMAPPED = "set-id-unmapped"
"""They do not count: the user namespace has no id for owner or group. user_namespaces(7), "Set-user-ID and set-group-ID programs"."""
NOSUID = "nosuid"
"""Neither set-ID bits nor file capabilities count: the mount is nosuid. mount(8); fs/namespace.c, mnt_may_suid; get_file_caps."""
OTHER_NAMESPACE = "other-namespace"
"""Not granted: the file's are for another user namespace. "Namespaced file capabilities"; get_vfs_caps_from_disk."""
UNKNOWN = "unknown"
"""Not granted: no capability of the kernel's. get_vfs_caps_from_disk, CAP_VALID_MASK."""
FILE_PERMITTED = "file-permitted"
"""Granted: permitted of the file, and bounding. "Transformation of capabilities during execve()"; bprm_caps_from_vfs_caps."""
FILE_INHERITABLE = "file-inheritable"
"""Granted: inheritable of the file and of the process."""
NOT_BOUNDING = "not-bounding"
"""Not granted: permitted of the file, not bounding."""
NOT_INHERITABLE = "not-inheritable"
"""Not granted: inheritable of the file, not of the process."""
REFUSED = "refused"
"""EPERM: permitted of the file, not granted, and the file's effective bit is set; for root too, and whatever was permitted
before. "Safety checking for capability-dumb binaries"; bprm_caps_from_vfs_caps."""
ROOT = "root"
"""Granted: bounding or inheritable, and the real or effective uid is 0. "Capabilities and execution of programs by root";
handle_privileged_root."""
NOT_ROOT = "not-root"
"""Not granted although such a uid is 0: SECBIT_NOROOT. "The securebits flags: establishing a capabilities-only environment"."""
FILE_BEFORE_ROOT = "file-before-root"
"""Not granted although the effective uid is 0: the real one is not, and the file has capabilities of its own, if only
an empty set. "Set-user-ID-root programs that have file capabilities"."""
NO_NEW_PRIVS = "no-new-privs"
"""Taken away: not permitted before, and no_new_privs is set. prctl(2), PR_SET_NO_NEW_PRIVS; cap_bprm_creds_from_file."""
REAL_IDS = "real-ids"
"""The effective uid and gid become the real ones, for the same reason."""
AMBIENT_FILE = "ambient-file"
"""Taken away: ambient, and the file has capabilities, if only an empty set. "Thread capability sets"."""
AMBIENT_SET_ID = "ambient-set-id"
"""Taken away: ambient, and the effective uid or gid changes."""
AMBIENT = "ambient"
"""Granted, and effective: ambient."""
NOT_KEPT = "not-kept"
"""Taken away: permitted before, and nothing grants it now. "Transformation of capabilities during execve()"."""
NOT_EFFECTIVE = "not-effective"
"""Permitted, but the program itself has to make it effective. "File capabilities"; capset(2)."""
SECURE_CAPABILITIES = "secure-capabilities"
"""AT_SECURE: permitted and not ambient, or the file's effective bit is set, for a real uid that is not 0. ld.so(8)."""
SECURE_IDS = "secure-ids"
"""AT_SECURE: the effective uid or gid changes, or is not the real one."""

Step = namedtuple("Step", ("rule", "capabilities"))
"""A rule that had a part, and the capabilities that it is about: bit n for capability n; 0 where it is about ids."""

_ProcessFields = namedtuple(
    "_ProcessFields",
    "ruid euid suid rgid egid sgid groups permitted inheritable effective bounding ambient securebits no_new_privs roots",
    defaults=((), 0, 0, 0, ALL, 0, 0, False, (0,)),
)
_FileFields = namedtuple("_FileFields", "capabilities owner group mode nosuid", defaults=(None, 0, 0, 0o755, False))
_OutcomeFields = namedtuple("_OutcomeFields", "process secure steps")


class Process(_ProcessFields):
    """Credentials of a thread (credentials(7), capabilities(7)).

    Attributes:
      ruid: the real uid; euid, suid, rgid, egid, sgid: the other ids, all as the process's
        user namespace has them.
      groups: the supplementary groups, a tuple.
      permitted: bit n set means capability n; inheritable, effective, bounding, ambient: likewise.
      securebits: as prctl(2), PR_GET_SECUREBITS, has them.
      no_new_privs: prctl(2), PR_SET_NO_NEW_PRIVS.
      roots: uids, in the initial user namespace, of the roots of that one (0), of the
        process's own and of all between (user_namespaces(7)).
    """

    __slots__ = ()

    ruid: int
    euid: int
    suid: int
    rgid: int
    egid: int
    sgid: int
    groups: tuple[int, ...]
    permitted: int
    inheritable: int
    effective: int
    bounding: int
    ambient: int
    securebits: int
    no_new_privs: bool
    roots: tuple[int, ...]

    @classmethod
    def of(cls, uid: int, gid: int, **others: Any) -> Process:
        """A process with one uid and one gid; `others` are the other fields."""
        return cls(uid, uid, uid, gid, gid, gid, **others)

    def check(self) -> Process:
        """Returns self if there can be such a process.

        Raises:
          CapabilityError: with every problem (capabilities(7), "Thread capability sets").
        """
        limits = {"permitted": ALL, "inheritable": ALL, "bounding": ALL}
        limits |= {"effective": self.permitted, "ambient": self.permitted & self.inheritable}
        over = {name: getattr(self, name) & ~limit for name, limit in limits.items()}
        problems = [f"{name} set: {bits:#x} cannot be in it; at most {limits[name]:#x} can" for name, bits in over.items() if bits]
        if problems:
            raise CapabilityError(*problems)
        return self


class File(_FileFields):
    """What is executed: a program, or the interpreter of a script.

    Attributes:
      capabilities: what its `security.capability` says; None if it has none, which is not
        the same as an empty set. (Nobody writes an effective bit without capabilities.)
      owner: uid, as the process's user namespace has it; None if that has none for it.
      group: gid, likewise.
      mode: as stat(2) has it; the set-user-ID, set-group-ID and group execute bits matter.
      nosuid: whether its mount is, or is one of a user namespace that the process is not in.
    """

    __slots__ = ()

    capabilities: FileCapabilities | None
    owner: int | None
    group: int | None
    mode: int
    nosuid: bool


class Outcome(_OutcomeFields):
    """What comes of it.

    Attributes:
      process: its credentials after; None if execve fails with EPERM.
      secure: AT_SECURE of getauxval(3): whether it runs in secure-execution mode.
      steps: why, in the kernel's order; a later one may undo an earlier, `process` has the last word.
    """

    __slots__ = ()

    process: Process | None
    secure: bool
    steps: tuple[Step, ...]

    def about(self, capability: int) -> tuple[str, ...]:
        """The rules that had a part in the capability of this number."""
        return tuple(step.rule for step in self.steps if step.capabilities >> capability & 1)


def execve(process: Process, file: File, linux: tuple[int, int] = (6, 17)) -> Outcome:
    """What becomes of `process` when it executes `file`.

    Args:
      process: before.
      file: of which it is taken for granted that `process` may execute it.
      linux: the kernel's version. Before 6.17 an effective id that is not the real one was
        taken for one that changes, so no_new_privs made it the real one.

    Raises:
      CapabilityError: there can be no such process; see Process.check.
    """
    old = process.check()
    steps: list[Step] = []

    def note(rule: str, capabilities: int) -> None:
        if capabilities:
            steps.append(Step(rule, capabilities))

    euid, egid = _ids(old, file, steps)
    record = _record(old, file, steps)

    permitted, effective = 0, False
    if record is not None:
        permitted = old.bounding & record.permitted | old.inheritable & record.inheritable
        effective = record.effective != 0
        missing = record.permitted & ALL & ~permitted
        note(UNKNOWN, (record.permitted | record.inheritable) & ~ALL)
        note(FILE_PERMITTED, record.permitted & old.bounding)
        note(FILE_INHERITABLE, record.inheritable & old.inheritable)
        note(NOT_BOUNDING, missing)
        note(NOT_INHERITABLE, record.inheritable & ALL & ~permitted)
        if effective and missing:
            note(REFUSED, missing)
            return Outcome(None, False, tuple(steps))

    if 0 in (old.ruid, euid):
        of_root = old.bounding | old.inheritable
        if old.securebits & SECBIT_NOROOT:
            note(NOT_ROOT, of_root & ~permitted)
        elif record is not None and old.ruid != 0:
            note(FILE_BEFORE_ROOT, of_root & ~permitted)
        else:
            note(ROOT, of_root)
            permitted, effective = of_root, effective or euid == 0

    if linux >= (6, 17):
        changed = euid != old.euid or egid not in (old.egid, *old.groups)
    else:
        changed = (euid, egid) != (old.ruid, old.rgid)
    if old.no_new_privs and (changed or permitted & ~old.permitted):
        note(NO_NEW_PRIVS, permitted & ~old.permitted)
        permitted &= old.permitted
        if (euid, egid) != (old.ruid, old.rgid):
            steps.append(Step(REAL_IDS, 0))
            euid, egid = old.ruid, old.rgid

    ambient = 0 if changed or record is not None else old.ambient
    note(AMBIENT_SET_ID if record is None else AMBIENT_FILE, old.ambient & ~ambient)
    note(AMBIENT, ambient)
    more = permitted & ~ambient
    permitted |= ambient
    raised = permitted if effective else ambient
    note(NOT_KEPT, old.permitted & ~permitted)
    note(NOT_EFFECTIVE, permitted & ~raised)

    by_capabilities = old.ruid != 0 and bool(effective or more)
    if by_capabilities:
        steps.append(Step(SECURE_CAPABILITIES, more))
    by_ids = changed or (euid, egid) != (old.ruid, old.rgid)
    if by_ids:
        steps.append(Step(SECURE_IDS, 0))

    ids = {"euid": euid, "suid": euid, "egid": egid, "sgid": egid}
    sets = {"permitted": permitted, "effective": raised, "ambient": ambient}
    new = old._replace(**ids, **sets, securebits=old.securebits & ~SECBIT_KEEP_CAPS)
    return Outcome(new, by_capabilities or by_ids, tuple(steps))


def _ids(old: Process, file: File, steps: list[Step]) -> tuple[int, int]:
    """The effective uid and gid, as set-ID bits leave them."""
    euid, egid = old.euid, old.egid
    set_user_id = file.mode & stat.S_ISUID
    set_group_id = file.mode & stat.S_ISGID and file.mode & stat.S_IXGRP
    if not set_user_id and not set_group_id:
        return euid, egid
    if file.nosuid:
        steps.append(Step(NOSUID, 0))
    elif old.no_new_privs:
        steps.append(Step(SET_ID_NO_NEW_PRIVS, 0))
    elif file.owner is None or file.group is None:
        steps.append(Step(SET_ID_UNMAPPED, 0))
    else:
        if set_user_id:
            steps.append(Step(SET_USER_ID, 0))
            euid = file.owner
        if set_group_id:
            steps.append(Step(SET_GROUP_ID, 0))
            egid = file.group
    return euid, egid


def _record(old: Process, file: File, steps: list[Step]) -> FileCapabilities | None:
    """The file's capabilities, if they count."""
    record = file.capabilities
    if record is None or (not file.nosuid and record.rootid in old.roots):
        return record
    steps.append(Step(NOSUID if file.nosuid else OTHER_NAMESPACE, record.permitted | record.inheritable))
    return None
