"""Finds capabilities that a container does not need, because sysctls of its network namespace allow the same to everybody."""

from __future__ import annotations

from collections.abc import Iterator

from rules_setcap.capabilities import execve
from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.engines import Engine
from rules_setcap.containers.settings import Settings, format_engine_name
from rules_setcap.containers.verdict import Plan, Verdict

_PORTS, _PING = "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"
_NET_BIND_SERVICE, _NET_RAW = (1 << NAMES.index(name) for name in ("cap_net_bind_service", "cap_net_raw"))
_FIRST_PORT = 1024  # The kernel's default: ports from here on need no capability (ip(7)).


def notes(plan: Plan, verdict: Verdict) -> Iterator[str]:
    """Yields a sentence for each capability that is wanted, and not needed for ports or for pings."""
    settings = plan.settings
    if not settings.has_own_network:
        return  # The sysctls are those of the host or of another container, which are not known here.
    if verdict.wanted & _NET_BIND_SERVICE:
        text, where = _value(settings, plan.runtime, _PORTS)
        if text.isascii() and text.isdecimal() and int(text[:9]) < _FIRST_PORT:
            of = f"ports from {int(text)} on" if int(text) else "ports"
            yield f"cap_net_bind_service is not needed for {of}: {_PORTS} is {int(text)} ({where}); a file without it needs no grant"
    if verdict.wanted & _NET_RAW:
        text, where = _value(settings, plan.runtime, _PING)
        if _includes(text, verdict.hop.before):
            what = "ICMP echo (ping) by a datagram socket; other raw packets need it"
            yield f"cap_net_raw is not needed for {what}: {_PING} is {' to '.join(text.split())} ({where})"


def _value(settings: Settings, runtime: Engine, name: str) -> tuple[str, str]:
    """Returns the value of a sysctl, and who says so; "" if the runtime leaves what the kernel has."""
    for said in reversed(settings.sysctls):
        if said.value[0] == name:
            return said.value[1], said.where
    own_users = settings.user_namespace is not None and settings.user_namespace.value != "host"
    version = runtime.version or (1 << 30,)
    text, by = "", f"{format_engine_name(runtime.name)}'s default"
    if runtime.name == "docker" and version >= (20, 10):
        # moby daemon/oci_linux.go, WithCommonOptions. A daemon that remaps users leaves the groups of pings alone.
        text = "0" if name == _PORTS else "0 2147483647"
        by += " since 20.10" + (" without --userns-remap" if name == _PING else "")
    elif runtime.name == "containerd" and version >= (2,) and not (own_users and name == _PING):
        # containerd internal/cri/server/podsandbox/sandbox_run_linux.go, with the defaults of its config.
        text, by = "0" if name == _PORTS else "0 2147483647", by + " since 2.0"
    # podman takes default_sysctls of containers.conf(5), which is not known here.
    return text, f"{by}, in a network namespace of its own"


def _includes(text: str, process: execve.Process) -> bool:
    """Returns whether a range of groups includes one of a process's (icmp(7), ping_group_range)."""
    words = text.split()
    if len(words) != 2 or not all(word.isascii() and word.isdecimal() and len(word) <= 10 for word in words):
        return False
    first, last = map(int, words)
    return any(first <= gid <= last for gid in (process.egid, *process.groups))
