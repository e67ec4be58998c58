"""The names and numbers of capabilities: linux/capability.h, CAP_CHOWN to CAP_LAST_CAP."""

from __future__ import annotations

from rules_setcap.diagnostics.suggestions import find_closest

NAMES = (
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
)
"""Names by number, as libcap prints them."""

ALL = (1 << len(NAMES)) - 1
"""The set that `all` stands for. libcap asks the running kernel; a build must not depend on it."""

_NUMBERS = {name: number for number, name in enumerate(NAMES)}
_UPPER_TO_LOWER = {ord(upper): ord(upper) + 32 for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def lower_ascii(text: str) -> str:
    """Returns a text with its ASCII letters in lower case.

    str.lower() would turn letters of other scripts, such as the Kelvin sign, into ASCII letters.
    """
    return text.translate(_UPPER_TO_LOWER)


def find_number(name: str) -> int | None:
    """Returns the number of a capability, or None if no capability has this name.

    Args:
      name: in any case, with or without `cap_`.
    """
    name = lower_ascii(name)
    return _NUMBERS.get(name, _NUMBERS.get("cap_" + name))


def suggest_name(name: str) -> str:
    """Returns the name that was probably meant, or "" if none is similar enough. It has `cap_` if the user wrote `cap_`."""
    word = lower_ascii(name[:64])
    prefix = "cap_" if word.startswith("cap_") else ""
    word = word[len(prefix) :]
    words = [known[len("cap_") :] for known in NAMES] + ["all"]
    longer = [known for known in words if len(word) > 2 and known.startswith(word)]
    near = longer[0] if len(longer) == 1 else find_closest(word, words)
    return prefix + near if near and near != "all" else near
