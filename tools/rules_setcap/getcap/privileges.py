"""The privileges that a file gives to the process that executes it: capabilities and set-ID bits."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers.dangers import CRITICAL, DANGERS, HIGH, LOW, MEDIUM, find_worst_severity

if TYPE_CHECKING:
    from rules_setcap.capabilities import FileCapabilities

YES, PARTLY, NO, UNKNOWN = "yes", "partly", "no", "unknown"


@dataclass(frozen=True, slots=True)
class Usability:
    """The answer to whether the process of a container can use the privileges of a file.

    Attributes:
      answer: YES, PARTLY (it gets some of the capabilities), NO or UNKNOWN.
      capabilities: the capabilities that the process has after it executed the file, as a mask.
      reason: why the answer is not YES, a sentence; "" for YES.
    """

    answer: str
    capabilities: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PrivilegedFile:
    """A file with capabilities or set-ID bits.

    Attributes:
      path: its absolute path in the image, without symbolic links.
      capabilities: its capabilities; None if it has none.
      mode: its permission and set-ID bits, as in st_mode of stat(2).
      uid, gid: its owner and group.
      script: whether it is a script.
      severity: how much its privileges are worth to an attacker, one of dangers.SEVERITIES.
      usability: whether a container can use the privileges, by the name of the container runtime.
    """

    path: str
    capabilities: FileCapabilities | None
    mode: int
    uid: int
    gid: int
    script: bool
    severity: str = LOW
    usability: dict[str, Usability] = field(default_factory=dict)

    @property
    def set_user_id(self) -> int | None:
        """Returns the effective uid of a process that executes the file; None if execution does not change it."""
        return self.uid if self.mode & stat.S_ISUID else None

    @property
    def set_group_id(self) -> int | None:
        """Returns the effective gid of a process that executes the file; None if execution does not change it."""
        return self.gid if self.mode & stat.S_ISGID and self.mode & stat.S_IXGRP else None

    @property
    def assigned(self) -> int:
        """Returns the permitted and inheritable capabilities of the file that kernels know, as a mask."""
        record = self.capabilities
        return (record.permitted | record.inheritable) & ALL if record else 0


def format_privileges(capabilities: FileCapabilities | None, set_user_id: int | None, set_group_id: int | None) -> str:
    """Returns privileges as allowlists and reports write them: "cap_net_raw=p set-user-ID=0"; "" without privileges."""
    words = []
    if capabilities is not None:
        words.append(capabilities.to_text())
        if capabilities.rootid:
            words.append(f"[rootid={capabilities.rootid}]")
    if set_user_id is not None:
        words.append(f"set-user-ID={set_user_id}")
    if set_group_id is not None:
        words.append(f"set-group-ID={set_group_id}")
    return " ".join(words)


def describe_privileges(file: PrivilegedFile) -> str:
    """Returns the privileges of a file, as format_privileges() writes them."""
    return format_privileges(file.capabilities, file.set_user_id, file.set_group_id)


def rate_user_id(uid: int) -> str:
    """Returns the severity of a set-user-ID bit of a file whose owner is `uid`."""
    return MEDIUM if uid else CRITICAL


def rate_group_id(gid: int) -> str:
    """Returns the severity of a set-group-ID bit of a file whose group is `gid`."""
    return MEDIUM if gid else HIGH


def rate_privileges(file: PrivilegedFile) -> str:
    """Returns the severity of all privileges of a file, for an attacker who controls its process."""
    severities = [DANGERS[name].severity for bit, name in enumerate(NAMES) if file.assigned >> bit & 1]
    if file.set_user_id is not None:
        severities.append(rate_user_id(file.uid))
    if file.set_group_id is not None:
        severities.append(rate_group_id(file.gid))
    return find_worst_severity(severities)
