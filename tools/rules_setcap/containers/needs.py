"""The least that a runtime must be told so that an image's file capabilities take effect."""

from __future__ import annotations

import json
import re
import shlex

from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.engines import Engine
from rules_setcap.diagnostics.errors import InputError, problem

_LAST_UID = (1 << 31) - 1


def format_flags(needed: int, runtime: Engine | None = None, user: str = "", harden: bool = True) -> list[str]:
    """The flags of docker run or podman run.

    Args:
      needed: what the files need, as a mask: all that they have permitted or inheritable.
      runtime: docker or podman; the newest Docker if None.
      user: who the container runs as; "" for the image's.
      harden: take away all else. If not, what the runtime grants by default stays, and
        needs no flag.

    Raises:
      InputError: `needed` has capabilities that no kernel knows, or the runtime is not known.
    """
    drop, add = _drop_and_add(needed, runtime or Engine("docker"), harden)
    flags = [f"--cap-drop={name}" for name in drop] + [f"--cap-add={name}" for name in add]
    if harden and not needed:
        flags.append("--security-opt=no-new-privileges")
    return flags + ([f"--user={user}"] if user else [])


def format_run_command(needed: int, image: str, runtime: Engine | None = None, user: str = "", harden: bool = True) -> str:
    """The whole command; see format_flags."""
    runtime = runtime or Engine("docker")
    return shlex.join([runtime.name, "run", *format_flags(needed, runtime, user, harden), image])


def format_compose_service(needed: int, service: str, runtime: Engine | None = None, user: str = "", harden: bool = True) -> str:
    """What a Compose file says; see format_flags. It ends with a newline."""
    drop, add = _drop_and_add(needed, runtime or Engine("docker"), harden)
    lines = [f"cap_drop: {json.dumps(drop)}"] if drop else []
    lines += [f"cap_add: {json.dumps(add)}"] if add else []
    lines += ['security_opt: ["no-new-privileges:true"]'] if harden and not needed else []
    lines += [f"user: {json.dumps(user)}"] if user else []
    body = "".join(f"    {line}\n" for line in lines)
    return f"services:\n  {json.dumps(service)}:" + ("\n" + body if body else " {}\n")


def format_security_context(needed: int, runtime: Engine | None = None, user: str = "", harden: bool = True, first_program: bool = False) -> str:
    """A container's securityContext; see format_flags. It ends with a newline.

    Args:
      needed: as for format_flags.
      runtime: containerd or cri-o; the newest containerd if None.
      user: uid or uid:gid; "" for the image's, and then it is not said whether that is root.
      harden: as for format_flags.
      first_program: whether the file is the container's first program, with nothing (tini,
        a shell) before it. It then gets no more than the runtime leaves its process
        permitted, and no_new_privs does not hinder that (security/commoncap.c,
        cap_bprm_creds_from_file): NET_BIND_SERVICE under the standard "restricted".

    Raises:
      InputError: as for format_flags, or `user` is no uid.
    """
    runtime = runtime or Engine("containerd")
    drop, add = _drop_and_add(needed, runtime, harden)
    uid, gid = _ids(user)
    lines = []
    if needed and uid != 0 and not (first_program and runtime.find_behaviour().keeps):
        lines.append("# File capabilities come with execve(2); false would set no_new_privs, which switches them off.")
        lines.append("allowPrivilegeEscalation: true")
    elif harden:
        if needed and uid != 0:
            lines.append("# The program is the first that the container executes. If another executes it, that one needs the same capabilities.")
        lines.append("allowPrivilegeEscalation: false")
    if drop or add:
        lines.append("capabilities:")
        lines += [f"  drop: {json.dumps(drop)}"] if drop else []
        lines += [f"  add: {json.dumps(add)}"] if add else []
    lines += [f"runAsGroup: {gid}"] if gid is not None else []
    lines += ["runAsNonRoot: true"] if uid else []
    lines += [f"runAsUser: {uid}"] if uid is not None else []
    body = "".join(f"  {line}\n" for line in lines)
    return "securityContext:" + ("\n" + body if body else " {}\n")


def _drop_and_add(needed: int, runtime: Engine, harden: bool) -> tuple[list[str], list[str]]:
    """What to drop and what to add, by the names that every runtime takes, in the kernel's order."""
    if needed >> len(NAMES):
        raise InputError([problem("needed", f"{needed:#x}", f"{NAMES[-1]} is the last capability")])
    default = runtime.default_capabilities if runtime.default_capabilities is not None else runtime.find_behaviour().default_capabilities
    missing = needed if harden else needed & ~default
    add = [name.removeprefix("cap_").upper() for bit, name in enumerate(NAMES) if missing >> bit & 1]
    return (["ALL"] if harden else []), add


def _ids(user: str) -> tuple[int | None, int | None]:
    """uid and gid of a user as Kubernetes can say them."""
    if not user:
        return None, None
    match = re.fullmatch("([0-9]{1,10})(?::([0-9]{1,10}))?", user)
    ids = [int(one) for one in match.groups() if one is not None] if match else []
    if not ids or max(ids) > _LAST_UID:
        raise InputError([problem("user", user, f"Kubernetes takes numbers of 0 to {_LAST_UID}; write it as uid or uid:gid")])
    return ids[0], ids[1] if len(ids) > 1 else None
