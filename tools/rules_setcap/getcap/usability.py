"""Computes whether a container with a runtime's default settings can use the privileges of a file."""

from __future__ import annotations

import posixpath
import stat
from typing import TYPE_CHECKING

from rules_setcap.capabilities import execve
from rules_setcap.containers.process import InitialProcess, compute_initial_process, format_capabilities
from rules_setcap.containers.settings import Settings
from rules_setcap.diagnostics.errors import InputError, escape
from rules_setcap.getcap.privileges import NO, PARTLY, UNKNOWN, YES, PrivilegedFile, Usability

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rules_setcap.containers.engines import Engine
    from rules_setcap.oci.image_reader import Image
    from rules_setcap.oci.nodes import Node


def start_default_process(image: Image, engine: Engine) -> InitialProcess | str:
    """Returns the process of a container that an engine starts from an image, without other settings.

    Returns:
      The process before it executes the image's program; a sentence if the process is unknown, because the image's user is.
    """
    value = image.config.get("config")
    config = value if isinstance(value, dict) else {}
    value = config.get("Labels")
    labels = {name: text for name, text in value.items() if isinstance(text, str)} if isinstance(value, dict) else {}
    settings = Settings(where=str(engine), engine_name=engine.name)
    try:
        return compute_initial_process(settings, engine, str(config.get("User") or ""), image.users, labels)
    except InputError as error:
        return "; ".join(error.problems)


def compute_usability(file: PrivilegedFile, process: InitialProcess | str, closed_directories: Mapping[str, Node]) -> Usability:
    """Returns whether a process can use the privileges of a file.

    Args:
      file: the file.
      process: the process of a container, or why it is unknown.
      closed_directories: the directories of the image that not everybody may enter, by path.
    """
    if isinstance(process, str):
        return Usability(UNKNOWN, 0, process)
    if file.script:
        return Usability(NO, 0, "the kernel ignores the privileges of a script")
    if not file.mode & 0o111:
        return Usability(NO, 0, "nobody may execute the file")
    if process.uid and (obstacle := _find_obstacle(file, process.uid, closed_directories)):
        return obstacle
    before = execve.Process.with_ids(
        process.uid,
        process.uid,
        permitted=process.permitted,
        inheritable=process.inheritable,
        effective=process.effective,
        bounding=process.bounding,
        ambient=process.ambient,
        no_new_privs=process.no_new_privs,
    )
    after = execve.execve(before, execve.File(file.capabilities, file.uid, file.gid, file.mode)).process
    if after is None:
        missing = file.assigned & ~process.bounding
        return Usability(NO, 0, f"it does not start: its effective bit is set, and {format_capabilities(missing)} is not granted")
    if file.capabilities is None:
        return Usability(YES, after.permitted if after.euid != process.uid else 0)
    gained = file.assigned & after.permitted
    missing = file.assigned & ~gained
    if (gained and not missing) or file.set_user_id is not None:
        return Usability(YES, gained)
    if file.capabilities.rootid:
        return Usability(NO, gained, f"its capabilities are for the user namespace whose root is uid {file.capabilities.rootid}")
    if not file.assigned:
        return Usability(NO, 0, "its capability set is empty")
    if file.assigned & ~process.bounding:
        reason = f"{format_capabilities(missing)} is not granted"
    else:
        reason = "its capabilities are only inheritable, and the process has no inheritable capabilities"
    return Usability(PARTLY if gained else NO, gained, reason)


def _find_obstacle(file: PrivilegedFile, uid: int, closed_directories: Mapping[str, Node]) -> Usability | None:
    """Returns the answer for a user whose permissions do not suffice to execute a file; None if they suffice.

    A group that may enter or execute makes the answer UNKNOWN: the groups of the process are not considered.
    """
    steps: list[tuple[str, str, Node | PrivilegedFile]] = [
        ("enter", path, closed_directories[path]) for path in list_parents(file.path) if path in closed_directories
    ]
    steps.append(("execute", file.path, file))
    for verb, path, node in steps:
        if node.mode & (stat.S_IXUSR if uid == node.uid else stat.S_IXOTH):
            continue
        if node.mode & stat.S_IXGRP and uid != node.uid:
            return Usability(UNKNOWN, 0, f"only members of group {node.gid} may {verb} {escape(path)}")
        return Usability(NO, 0, f"uid {uid} may not {verb} {escape(path)}")
    return None


def list_parents(path: str) -> Iterator[str]:
    """Yields the directories above an absolute path, the nearest first, without the root."""
    while (path := posixpath.dirname(path)) not in ("/", ""):
        yield path
