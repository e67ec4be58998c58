"""Parses the values of --security-opt, and of security_opt in Compose files."""

from __future__ import annotations

from rules_setcap.containers.docker.flags import parse_boolean
from rules_setcap.diagnostics.errors import quote
from rules_setcap.diagnostics.suggestions import suggest

# Names of options besides no-new-privileges: moby daemon/daemon_unix.go; podman pkg/specgenutil/specgen.go; nerdctl
# pkg/cmd/container/run_security_linux.go.
_OTHER_OPTIONS = frozenset(
    "apparmor disable label mask privileged-without-host-devices proc-opts seccomp systempaths unmask writable-cgroups".split()
)


def parse_security_option(text: str, engine_name: str = "docker") -> bool | None:
    """Returns whether an option sets no_new_privs; None if it is another option.

    Args:
      text: the value, such as "no-new-privileges=true".
      engine_name: "docker", "nerdctl" or "podman".

    Raises:
      ValueError: the value is not valid; the error says why.
    """
    name, separator, value = text.partition("=")
    if not separator:
        name, separator, value = text.partition(":")
        if separator and engine_name == "nerdctl" and name in _OTHER_OPTIONS.union(("no-new-privileges",)):
            # pkg/strutil, ConvertKVStringsToMap; pkg/cmd/container/run_security_linux.go, generateSecurityOpts.
            raise ValueError(f'nerdctl ignores it with ":"; write {quote(name + "=" + value)}')
    if name == "no-new-privileges":
        enabled = parse_boolean(value) if separator else True
        if enabled is None:
            raise ValueError("must be true or false after no-new-privileges")
        return enabled
    if name not in _OTHER_OPTIONS:
        raise ValueError("unknown security option" + suggest(name, ("no-new-privileges", *sorted(_OTHER_OPTIONS)), cutoff=0.5))
    return None
