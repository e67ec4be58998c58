"""Finds capabilities that a container does not need because sysctls of its network namespace allow the same to everybody."""

from __future__ import annotations

from collections.abc import Iterator

from rules_setcap.capabilities import execve
from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.engines import Engine
from rules_setcap.containers.settings import Settings, format_engine_name
from rules_setcap.containers.verdict import Plan, Verdict

_PORT_SYSCTL, _PING_SYSCTL = "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"
_NET_BIND_SERVICE, _NET_RAW = (1 << NAMES.index(name) for name in ("cap_net_bind_service", "cap_net_raw"))
_FIRST_UNPRIVILEGED_PORT = 1024
"""The kernel's default of net.ipv4.ip_unprivileged_port_start (ip(7))."""


def list_unneeded_capabilities(plan: Plan, verdict: Verdict) -> Iterator[str]:
    """Yields a sentence for each requested capability that is not needed for ports or for pings."""
    settings = plan.settings
    if not settings.has_own_network:
        return  # The sysctls of the host or of another container apply, which are not known here.
    if verdict.requested & _NET_BIND_SERVICE:
        text, where = _find_sysctl(settings, plan.engine, _PORT_SYSCTL)
        if text.isascii() and text.isdecimal() and int(text[:9]) < _FIRST_UNPRIVILEGED_PORT:
            ports = f"ports from {int(text)} on" if int(text) else "ports"
            yield f"cap_net_bind_service is not needed for {ports}: {_PORT_SYSCTL} is {int(text)} ({where}); a file without it needs no grant"
    if verdict.requested & _NET_RAW:
        text, where = _find_sysctl(settings, plan.engine, _PING_SYSCTL)
        if _includes_group(text, verdict.hop.before):
            use = "ICMP echo (ping) by a datagram socket; other raw packets need it"
            yield f"cap_net_raw is not needed for {use}: {_PING_SYSCTL} is {' to '.join(text.split())} ({where})"


def _find_sysctl(settings: Settings, engine: Engine, name: str) -> tuple[str, str]:
    """Returns the value of a sysctl in the container, and the setting or default behind it.

    The value is "" if the engine leaves the sysctl as the kernel sets it.
    """
    for sysctl in reversed(settings.sysctls):
        if sysctl.value[0] == name:
            return sysctl.value[1], sysctl.where
    has_own_users = settings.user_namespace is not None and settings.user_namespace.value != "host"
    version = engine.version or (1 << 30,)
    text, source = "", f"{format_engine_name(engine.name)}'s default"
    if engine.name == "docker" and version >= (20, 10):
        # moby daemon/oci_linux.go, WithCommonOptions. A daemon that remaps users does not set ping_group_range.
        text = "0" if name == _PORT_SYSCTL else "0 2147483647"
        source += " since 20.10" + (" without --userns-remap" if name == _PING_SYSCTL else "")
    elif engine.name == "containerd" and version >= (2,) and not (has_own_users and name == _PING_SYSCTL):
        # containerd internal/cri/server/podsandbox/sandbox_run_linux.go, with the defaults of its config.
        text, source = "0" if name == _PORT_SYSCTL else "0 2147483647", source + " since 2.0"
    # podman sets the default_sysctls of containers.conf(5), which is not known here.
    return text, f"{source}, in a network namespace of its own"


def _includes_group(text: str, process: execve.Process) -> bool:
    """Returns whether a range of gids has a group of a process (icmp(7), ping_group_range).

    Args:
      text: the first and the last gid, as the sysctl has them.
      process: the process.
    """
    words = text.split()
    if len(words) != 2 or not all(word.isascii() and word.isdecimal() and len(word) <= 10 for word in words):
        return False
    first, last = map(int, words)
    return any(first <= gid <= last for gid in (process.egid, *process.groups))
