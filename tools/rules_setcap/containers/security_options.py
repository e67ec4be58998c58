"""Parses the values of --security-opt, and of a Compose service's security_opt."""

from __future__ import annotations

import difflib

from rules_setcap.containers.docker.flags import parse_boolean
from rules_setcap.diagnostics.errors import quote

# The names that the value may have: moby daemon/daemon_unix.go; podman pkg/specgenutil/specgen.go; nerdctl
# pkg/cmd/container/run_security_linux.go.
_SECURITY_OPTIONS = frozenset(
    "apparmor disable label mask privileged-without-host-devices proc-opts seccomp systempaths unmask writable-cgroups".split()
)


def parse_security_option(text: str, engine: str = "docker") -> bool | None:
    """Returns whether a --security-opt sets no_new_privs; None if it is about something else.

    Raises:
      ValueError: with what is wrong.
    """
    name, separator, value = text.partition("=")
    if not separator:
        name, separator, value = text.partition(":")
        if separator and engine == "nerdctl" and name in _SECURITY_OPTIONS.union(("no-new-privileges",)):
            # pkg/strutil, ConvertKVStringsToMap; pkg/cmd/container/run_security_linux.go, generateSecurityOpts.
            raise ValueError(f'nerdctl ignores it with ":"; write {quote(name + "=" + value)}')
    if name == "no-new-privileges":
        on = parse_boolean(value) if separator else True
        if on is None:
            raise ValueError("neither true nor false after no-new-privileges")
        return on
    if name not in _SECURITY_OPTIONS:
        near = difflib.get_close_matches(name[:64], ("no-new-privileges", *_SECURITY_OPTIONS), n=1, cutoff=0.5)
        raise ValueError("unknown security option" + (f'; did you mean "{near[0]}"?' if near else ""))
    return None
