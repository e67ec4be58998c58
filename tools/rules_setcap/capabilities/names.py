"""The names of the capabilities: linux/capability.h, CAP_CHOWN to CAP_LAST_CAP."""

from __future__ import annotations

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
"""The set that `all` stands for. libcap asks the running kernel; a build may not."""

_NUMBERS = {name: number for number, name in enumerate(NAMES)}
_UPPER_TO_LOWER = {ord(upper): ord(upper) + 32 for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def lower(text: str) -> str:
    """`text` in lower case, ASCII letters alone.

    str.lower() would fold letters of other scripts (the Kelvin sign) into ASCII.
    """
    return text.translate(_UPPER_TO_LOWER)


def number(name: str) -> int | None:
    """The number of a capability, or None if there is none of that name.

    Args:
      name: in any case, with or without `cap_`.
    """
    name = lower(name)
    return _NUMBERS.get(name, _NUMBERS.get("cap_" + name))


def suggestion(name: str) -> str:
    """A name that may have been meant, spelt as the user spells (`cap_` or not); "" if none is near."""
    import difflib  # Only where something is wrong already.

    plain = lower(name[:64])
    prefix = "cap_" if plain.startswith("cap_") else ""
    words = [known[len("cap_"):] for known in NAMES] + ["all"]
    plain = plain[len(prefix):]
    longer = [word for word in words if len(plain) > 2 and word.startswith(plain)]
    near = longer if len(longer) == 1 else difflib.get_close_matches(plain, words, n=1, cutoff=0.6)
    if not near:
        return ""
    return near[0] if near[0] == "all" else prefix + near[0]
