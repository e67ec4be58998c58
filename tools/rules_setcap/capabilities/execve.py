"""Computes how execve(2) changes the credentials of a process, as Linux does, and explains why.

Let P, I and A be the permitted, inheritable and ambient set of a process and X its bounding set; ' marks a set after
execve (capabilities(7), "Transformation of capabilities during execve()"):

    A' = no file capabilities, no set-user-ID, no set-group-ID ? A : 0
    P' = (X & permitted of the file) | (I & inheritable of the file) | A'
    E' = effective bit of the file ? P' : A'

The rules for root, no_new_privs and nosuid mounts come on top of that. The kernel has them in fs/exec.c, bprm_fill_uid, and
in security/commoncap.c, cap_bprm_creds_from_file. The tests compare this module with a running kernel. This module leaves
out tracers and threads that share a file system (LSM_UNSAFE_PTRACE, LSM_UNSAFE_SHARE), Linux Security Modules, and the boot
option no_file_caps.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from rules_setcap.capabilities.errors import CapabilityError
from rules_setcap.capabilities.names import ALL

if TYPE_CHECKING:
    from rules_setcap.capabilities.file_capabilities import FileCapabilities

SECBIT_NOROOT = 1 << 0
SECBIT_KEEP_CAPS = 1 << 4

# The names of the rules that a Step can have. Each comment names the section of capabilities(7) and the function in
# security/commoncap.c, unless it names another page or file; a rule without these has those of the rule before it.
SET_USER_ID = "set-user-id"
"""The effective and saved uid become the owner of the file. execve(2); fs/exec.c, bprm_fill_uid."""
SET_GROUP_ID = "set-group-id"
"""The effective and saved gid become the group of the file."""
SET_ID_NO_NEW_PRIVS = "set-id-no-new-privs"
"""The set-ID bits have no effect, because no_new_privs is set."""
SET_ID_UNMAPPED = "set-id-unmapped"
"""The set-ID bits have no effect, because the user namespace does not map the owner or the group of the file.
user_namespaces(7), "Set-user-ID and set-group-ID programs"."""
NOSUID = "nosuid"
"""Set-ID bits and file capabilities have no effect, because the mount is nosuid. mount(8); fs/namespace.c, mnt_may_suid;
get_file_caps."""
OTHER_NAMESPACE = "other-namespace"
"""Not granted, because the file's capabilities are for another user namespace. "Namespaced file capabilities";
get_vfs_caps_from_disk."""
UNKNOWN = "unknown"
"""Not granted, because the kernel does not know the capability. get_vfs_caps_from_disk, CAP_VALID_MASK."""
FILE_PERMITTED = "file-permitted"
"""Granted: permitted of the file, and bounding. "Transformation of capabilities during execve()"; bprm_caps_from_vfs_caps."""
FILE_INHERITABLE = "file-inheritable"
"""Granted: inheritable of the file and of the process."""
NOT_BOUNDING = "not-bounding"
"""Not granted: permitted of the file, but not bounding."""
NOT_INHERITABLE = "not-inheritable"
"""Not granted: inheritable of the file, but not of the process."""
REFUSED = "refused"
"""execve fails with EPERM: the capability is permitted of the file and not granted, and the file's effective bit is set.
That holds for root too, and whatever was permitted before. "Safety checking for capability-dumb binaries";
bprm_caps_from_vfs_caps."""
ROOT = "root"
"""Granted: bounding or inheritable, and the real or effective uid is 0. "Capabilities and execution of programs by root";
handle_privileged_root."""
NOT_ROOT = "not-root"
"""Not granted although the real or effective uid is 0, because of SECBIT_NOROOT. "The securebits flags: establishing a
capabilities-only environment"."""
FILE_BEFORE_ROOT = "file-before-root"
"""Not granted although the effective uid is 0, because the real uid is not 0 and the file has capabilities of its own, even
an empty set. "Set-user-ID-root programs that have file capabilities"."""
NO_NEW_PRIVS = "no-new-privs"
"""Removed: not permitted before, and no_new_privs is set. prctl(2), PR_SET_NO_NEW_PRIVS; cap_bprm_creds_from_file."""
REAL_IDS = "real-ids"
"""The effective uid and gid become the real ones, for the same reason."""
AMBIENT_FILE = "ambient-file"
"""Removed: ambient, and the file has capabilities, even an empty set. "Thread capability sets"."""
AMBIENT_SET_ID = "ambient-set-id"
"""Removed: ambient, and the effective uid or gid changes."""
AMBIENT = "ambient"
"""Granted and effective: ambient."""
NOT_KEPT = "not-kept"
"""Removed: permitted before, and nothing grants it now. "Transformation of capabilities during execve()"."""
NOT_EFFECTIVE = "not-effective"
"""Permitted, but the program must make it effective itself. "File capabilities"; capset(2)."""
SECURE_CAPABILITIES = "secure-capabilities"
"""AT_SECURE is set: a capability is permitted and not ambient, or the file's effective bit is set, and the real uid is not 0.
ld.so(8)."""
SECURE_IDS = "secure-ids"
"""AT_SECURE is set: the effective uid or gid changes, or differs from the real one."""


class Step(NamedTuple):
    """A rule that took part in an execve.

    Attributes:
      rule: one of the constants above.
      capabilities: the set that the rule is about (bit n is set for capability n); 0 if it is about ids.
    """

    rule: str
    capabilities: int


class Process(NamedTuple):
    """The credentials of a thread (credentials(7), capabilities(7)).

    Attributes:
      ruid, euid, suid: the real, effective and saved uid, in the user namespace of the process.
      rgid, egid, sgid: the real, effective and saved gid, likewise.
      groups: the supplementary groups.
      permitted, inheritable, effective, bounding, ambient: sets: bit n is set if capability n is in the set.
      securebits: the flags of prctl(2), PR_GET_SECUREBITS.
      no_new_privs: prctl(2), PR_GET_NO_NEW_PRIVS.
      roots: the uids, in the initial user namespace, of root in the initial namespace (0), in that of the process, and in all
        between them (user_namespaces(7)).
    """

    ruid: int
    euid: int
    suid: int
    rgid: int
    egid: int
    sgid: int
    groups: tuple[int, ...] = ()
    permitted: int = 0
    inheritable: int = 0
    effective: int = 0
    bounding: int = ALL
    ambient: int = 0
    securebits: int = 0
    no_new_privs: bool = False
    roots: tuple[int, ...] = (0,)

    @classmethod
    def with_ids(cls, uid: int, gid: int, **fields: Any) -> Process:
        """Returns a process whose three uids are equal, and whose three gids are equal; `fields` are the other attributes."""
        return cls(uid, uid, uid, gid, gid, gid, **fields)

    def check(self) -> Process:
        """Returns this process if the kernel allows its sets.

        Raises:
          CapabilityError: with a problem for each invalid set (capabilities(7), "Thread capability sets").
        """
        limits = {"permitted": ALL, "inheritable": ALL, "bounding": ALL}
        limits |= {"effective": self.permitted, "ambient": self.permitted & self.inheritable}
        excess = {name: getattr(self, name) & ~limit for name, limit in limits.items()}
        problems = [
            f"{name} set: {bits:#x} cannot be in it; at most {limits[name]:#x} can" for name, bits in excess.items() if bits
        ]
        if problems:
            raise CapabilityError(*problems)
        return self


class File(NamedTuple):
    """The file that is executed: a program, or the interpreter of a script.

    Attributes:
      capabilities: the value of its `security.capability`; None if it has none, which is not the same as an empty set. (No
        tool writes an effective bit without capabilities.)
      owner: uid in the user namespace of the process; None if that namespace does not map it.
      group: gid, likewise.
      mode: as stat(2) returns it; the set-user-ID, set-group-ID and group execute bits matter.
      nosuid: whether the mount is nosuid, or belongs to a user namespace that the process is not in.
    """

    capabilities: FileCapabilities | None = None
    owner: int | None = 0
    group: int | None = 0
    mode: int = 0o755
    nosuid: bool = False


class Outcome(NamedTuple):
    """The result of an execve.

    Attributes:
      process: the credentials after it; None if execve fails with EPERM.
      secure: AT_SECURE of getauxval(3): whether the program runs in secure-execution mode.
      steps: the rules that took part, in the kernel's order. A later step may undo an earlier one; `process` is the result.
    """

    process: Process | None
    secure: bool
    steps: tuple[Step, ...]

    def rules_about(self, capability: int) -> tuple[str, ...]:
        """Returns the rules that took part for the capability of this number."""
        return tuple(step.rule for step in self.steps if step.capabilities >> capability & 1)


def execve(process: Process, file: File, linux: tuple[int, int] = (6, 17)) -> Outcome:
    """Computes the credentials of `process` after it executes `file`.

    Args:
      process: the credentials before.
      file: a file that `process` may execute; this is not checked.
      linux: the kernel's version. Before 6.17, the kernel treated an effective id that differs from the real one as an id
        that changes, so that no_new_privs replaced it by the real one.

    Raises:
      CapabilityError: the kernel does not allow the sets of `process`; see Process.check().
    """
    old = process.check()
    steps: list[Step] = []

    def add_step(rule: str, capabilities: int) -> None:
        if capabilities:
            steps.append(Step(rule, capabilities))

    euid, egid = _apply_set_id_bits(old, file, steps)
    assigned = _find_file_capabilities(old, file, steps)

    permitted, effective = 0, False
    if assigned is not None:
        permitted = old.bounding & assigned.permitted | old.inheritable & assigned.inheritable
        effective = assigned.effective != 0
        missing = assigned.permitted & ALL & ~permitted
        add_step(UNKNOWN, (assigned.permitted | assigned.inheritable) & ~ALL)
        add_step(FILE_PERMITTED, assigned.permitted & old.bounding)
        add_step(FILE_INHERITABLE, assigned.inheritable & old.inheritable)
        add_step(NOT_BOUNDING, missing)
        add_step(NOT_INHERITABLE, assigned.inheritable & ALL & ~permitted)
        if effective and missing:
            add_step(REFUSED, missing)
            return Outcome(None, False, tuple(steps))

    if 0 in (old.ruid, euid):
        root_capabilities = old.bounding | old.inheritable
        if old.securebits & SECBIT_NOROOT:
            add_step(NOT_ROOT, root_capabilities & ~permitted)
        elif assigned is not None and old.ruid != 0:
            add_step(FILE_BEFORE_ROOT, root_capabilities & ~permitted)
        else:
            add_step(ROOT, root_capabilities)
            permitted, effective = root_capabilities, effective or euid == 0

    if linux >= (6, 17):
        changed = euid != old.euid or egid not in (old.egid, *old.groups)
    else:
        changed = (euid, egid) != (old.ruid, old.rgid)
    if old.no_new_privs and (changed or permitted & ~old.permitted):
        add_step(NO_NEW_PRIVS, permitted & ~old.permitted)
        permitted &= old.permitted
        if (euid, egid) != (old.ruid, old.rgid):
            steps.append(Step(REAL_IDS, 0))
            euid, egid = old.ruid, old.rgid

    ambient = 0 if changed or assigned is not None else old.ambient
    add_step(AMBIENT_SET_ID if assigned is None else AMBIENT_FILE, old.ambient & ~ambient)
    add_step(AMBIENT, ambient)
    more = permitted & ~ambient
    permitted |= ambient
    raised = permitted if effective else ambient
    add_step(NOT_KEPT, old.permitted & ~permitted)
    add_step(NOT_EFFECTIVE, permitted & ~raised)

    by_capabilities = old.ruid != 0 and bool(effective or more)
    if by_capabilities:
        steps.append(Step(SECURE_CAPABILITIES, more))
    by_ids = changed or (euid, egid) != (old.ruid, old.rgid)
    if by_ids:
        steps.append(Step(SECURE_IDS, 0))

    new = old._replace(
        euid=euid,
        suid=euid,
        egid=egid,
        sgid=egid,
        permitted=permitted,
        effective=raised,
        ambient=ambient,
        securebits=old.securebits & ~SECBIT_KEEP_CAPS,
    )
    return Outcome(new, by_capabilities or by_ids, tuple(steps))


def _apply_set_id_bits(old: Process, file: File, steps: list[Step]) -> tuple[int, int]:
    """Returns the effective uid and gid after the set-ID bits have acted."""
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


def _find_file_capabilities(old: Process, file: File, steps: list[Step]) -> FileCapabilities | None:
    """Returns the file's capabilities; None if it has none, or if they have no effect."""
    assigned = file.capabilities
    if assigned is None or (not file.nosuid and assigned.rootid in old.roots):
        return assigned
    steps.append(Step(NOSUID if file.nosuid else OTHER_NAMESPACE, assigned.permitted | assigned.inheritable))
    return None
