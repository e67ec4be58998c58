"""Formats the smallest settings of a container with which the image's file capabilities take effect."""

from __future__ import annotations

import json
import re
import shlex

from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.engines import Engine
from rules_setcap.diagnostics.errors import InputError, format_problem

_LAST_UID = (1 << 31) - 1  # Kubernetes' IsValidUserID


def format_flags(needed: int, engine: Engine | None = None, user: str = "", harden: bool = True) -> list[str]:
    """Returns the flags for docker run or podman run.

    Args:
      needed: the mask of the capabilities that the files need: all that they have permitted or inheritable.
      engine: docker or podman; None for the newest Docker.
      user: the user of the container; "" for the image's.
      harden: whether to drop all other capabilities. If not, the capabilities that the engine grants by default stay, and
        need no flag.

    Raises:
      InputError: `needed` has unknown capabilities, or the version of the engine is too old.
    """
    drop, add = _choose_drop_and_add(needed, engine or Engine("docker"), harden)
    flags = [f"--cap-drop={name}" for name in drop] + [f"--cap-add={name}" for name in add]
    if harden and not needed:
        flags.append("--security-opt=no-new-privileges")
    return flags + ([f"--user={user}"] if user else [])


def format_run_command(needed: int, image: str, engine: Engine | None = None, user: str = "", harden: bool = True) -> str:
    """Returns the whole docker run or podman run command for an image; see format_flags()."""
    engine = engine or Engine("docker")
    return shlex.join([engine.name, "run", *format_flags(needed, engine, user, harden), image])


def format_compose_service(needed: int, service: str, engine: Engine | None = None, user: str = "", harden: bool = True) -> str:
    """Returns a Compose file with the settings of a service, which ends with a line feed; see format_flags()."""
    drop, add = _choose_drop_and_add(needed, engine or Engine("docker"), harden)
    lines = [f"cap_drop: {json.dumps(drop)}"] if drop else []
    lines += [f"cap_add: {json.dumps(add)}"] if add else []
    lines += ['security_opt: ["no-new-privileges:true"]'] if harden and not needed else []
    lines += [f"user: {json.dumps(user)}"] if user else []
    body = "".join(f"    {line}\n" for line in lines)
    return f"services:\n  {json.dumps(service)}:" + ("\n" + body if body else " {}\n")


def format_security_context(
    needed: int, engine: Engine | None = None, user: str = "", harden: bool = True, first_program: bool = False
) -> str:
    """Returns the securityContext of a container, which ends with a line feed.

    Args:
      needed: as for format_flags().
      engine: containerd or cri-o; None for the newest containerd.
      user: uid or uid:gid; "" for the image's, and then runAsNonRoot is left out.
      harden: as for format_flags().
      first_program: whether the file is the container's first program, so that no other program (tini, a shell) executes
        it. It then gets only capabilities that are permitted for the first process already, and no_new_privs does not
        prevent that (security/commoncap.c, cap_bprm_creds_from_file). NET_BIND_SERVICE under the standard "restricted"
        is such a case.

    Raises:
      InputError: as for format_flags(), or `user` is not numeric.
    """
    engine = engine or Engine("containerd")
    drop, add = _choose_drop_and_add(needed, engine, harden)
    uid, gid = _parse_ids(user)
    lines = []
    if needed and uid != 0 and not (first_program and engine.find_behaviour().grants_to_users):
        lines.append("# File capabilities come with execve(2); false would set no_new_privs, which switches them off.")
        lines.append("allowPrivilegeEscalation: true")
    elif harden:
        if needed and uid != 0:
            lines.append(
                "# The program is the first that the container executes. If another executes it, that one needs the same capabilities."
            )
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


def _choose_drop_and_add(needed: int, engine: Engine, harden: bool) -> tuple[list[str], list[str]]:
    """Returns the capabilities to drop and those to add, in the kernel's order and in the spelling that every engine accepts."""
    if needed >> len(NAMES):
        raise InputError([format_problem("needed", f"{needed:#x}", f"has a bit after the last capability, {NAMES[-1]}")])
    default = engine.default_capabilities
    if default is None:
        default = engine.find_behaviour().default_capabilities
    missing = needed if harden else needed & ~default
    add = [name.removeprefix("cap_").upper() for bit, name in enumerate(NAMES) if missing >> bit & 1]
    return (["ALL"] if harden else []), add


def _parse_ids(user: str) -> tuple[int | None, int | None]:
    """Returns the uid and gid of a user in the form uid or uid:gid; None for what it does not set.

    Raises:
      InputError: the user is not numeric, or out of range.
    """
    if not user:
        return None, None
    match = re.fullmatch("([0-9]{1,10})(?::([0-9]{1,10}))?", user)
    ids = [int(text) for text in match.groups() if text is not None] if match else []
    if not ids or max(ids) > _LAST_UID:
        raise InputError(
            [format_problem("user", user, f"Kubernetes takes numbers of 0 to {_LAST_UID}; write it as uid or uid:gid")]
        )
    return ids[0], ids[1] if len(ids) > 1 else None
