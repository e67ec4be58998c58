"""What runtimes do by themselves, version by version."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from rules_setcap.capabilities import names
from rules_setcap.diagnostics.errors import InputError, problem


@dataclass(frozen=True)
class Engine:
    """A container runtime.

    Attributes:
      name: "docker", "podman", "nerdctl", "containerd" (under Kubernetes) or "cri-o".
      version: its numbers; () for the newest.
      default_capabilities: the capabilities that its configuration grants by default, as a mask, in
        place of the built-in ones (`default_capabilities` of containers.conf and crio.conf).
    """

    name: str
    version: tuple[int, ...] = ()
    default_capabilities: int | None = None

    def __str__(self) -> str:
        return self.name + ("@" + ".".join(map(str, self.version)) if self.version else "")

    def find_behaviour(self) -> EngineBehaviour:
        """What this version does.

        Raises:
          InputError: it is older than what is known here.
        """
        known = BEHAVIOURS[self.name]
        if not self.version:
            return known[-1]
        # 24.0 is 24.0.0.
        version = (*self.version, 0, 0)
        if version < known[0].since:
            oldest = ".".join(map(str, known[0].since))
            raise InputError([problem("runtime", str(self), f'too old; the oldest known here is "{self.name}@{oldest}"')])
        return next(row for row in reversed(known) if version >= row.since)


@dataclass(frozen=True)
class EngineBehaviour:
    """What a runtime does from one version on.

    Attributes:
      since: that version.
      default_capabilities: the mask granted when nobody says anything.
      inheritable: whether what is granted is inheritable too (CVE-2022-24769 and its kin).
      keeps: whether a process that is not root has what is granted permitted and
        effective before its execve; else it has it in the bounding set alone.
      source: where the runtime's own code says so.
    """

    since: tuple[int, ...]
    default_capabilities: int
    inheritable: bool
    keeps: bool
    source: str


def mask(text: str) -> int:
    """The mask of names with spaces between."""
    return sum(1 << names.NAMES.index("cap_" + name) for name in text.split())


_ELEVEN = "chown dac_override fowner fsetid kill net_bind_service setfcap setgid setpcap setuid sys_chroot"
_FOURTEEN = mask(_ELEVEN + " audit_write mknod net_raw")
_CRIO = mask("chown dac_override fsetid fowner setgid setuid setpcap net_bind_service kill")

BEHAVIOURS = {
    # Release 24.0.0 grants before it sets the user, and so keeps what 24.0.6 and 23.0.7
    # keep on purpose: moby#44804, moby#45491.
    "docker": (
        EngineBehaviour((19, 3), _FOURTEEN, True, False, "moby 15ff09395c: oci/oci.go, SetCapabilities"),
        EngineBehaviour((20, 10, 14), _FOURTEEN, False, False, "moby 0d9a37d0c2, CVE-2022-24769: oci/oci.go, SetCapabilities"),
        EngineBehaviour((23, 0, 7), _FOURTEEN, False, True, "moby 3aef732e61, moby#45491: oci/oci.go, SetCapabilities"),
    ),
    # For a process that is not root see process.py: --cap-add decides.
    "podman": (
        EngineBehaviour((3, 0), _FOURTEEN, True, False, "podman v3.0.0: pkg/specgen/generate/security.go"),
        EngineBehaviour((3, 4, 5), _FOURTEEN, False, False, "podman v3.4.5, CVE-2022-27649: pkg/specgen/generate/security.go"),
        EngineBehaviour((4, 0, 0), _FOURTEEN, True, False, "podman v4.0.0: pkg/specgen/generate/security.go"),
        EngineBehaviour((4, 0, 3), _FOURTEEN, False, False, "podman v4.0.3, CVE-2022-27649: pkg/specgen/generate/security.go"),
        EngineBehaviour(
            (4, 4, 0),
            mask(_ELEVEN.removesuffix(" sys_chroot")),
            False,
            False,
            "containers/common a3328f26: pkg/config/default.go",
        ),
        EngineBehaviour((4, 4, 3), mask(_ELEVEN), False, False, "containers/common c700408f: pkg/config/default.go"),
    ),
    "containerd": (
        EngineBehaviour((1, 4), _FOURTEEN, True, True, "containerd v1.4: oci/spec_opts.go, WithCapabilities"),
        EngineBehaviour((1, 5, 11), _FOURTEEN, False, True, "containerd v1.5.11, CVE-2022-24769: oci/spec_opts.go, WithCapabilities"),
        EngineBehaviour((1, 6, 0), _FOURTEEN, True, True, "containerd v1.6.0: oci/spec_opts.go, WithCapabilities"),
        EngineBehaviour((1, 6, 2), _FOURTEEN, False, True, "containerd v1.6.2, CVE-2022-24769: oci/spec_opts.go, WithCapabilities"),
    ),
    # nerdctl takes the defaults of the containerd library that it is built with; 1.0 has that of 1.6.8.
    "nerdctl": (EngineBehaviour((1, 0), _FOURTEEN, False, True, "nerdctl v1.0: pkg/cmd/container/run_security_linux.go, generateCapOpts"),),
    # 1.24.3 brings add_inheritable_capabilities, on by default in that branch alone.
    "cri-o": (
        EngineBehaviour((1, 18), _CRIO, True, True, "cri-o v1.18: server/container_create_linux.go, setupCapabilities"),
        EngineBehaviour((1, 24, 0), _CRIO, False, True, "cri-o v1.24.0, CVE-2022-27652: server/container_create.go, setupCapabilities"),
        EngineBehaviour((1, 24, 3), _CRIO, True, True, "cri-o v1.24.3: pkg/config/config.go, AddInheritableCapabilities"),
        EngineBehaviour((1, 25, 0), _CRIO, False, True, "cri-o v1.25.0: internal/factory/container, SpecSetupCapabilities"),
    ),
}
"""Runtimes by name, oldest behaviour first, read in the runtimes' own sources.

Built-in grants: moby daemon/pkg/oci/caps/defaults.go, containerd pkg/oci/spec.go
(defaultUnixCaps), containers/common pkg/config/default.go, cri-o internal/config/capabilities.
"""


def parse_engine(text: str) -> Engine:
    """The runtime that `text` names: "docker", "podman@4.9.3".

    Raises:
      InputError: there is no such runtime, or its version is older than what is known.
    """
    name, at, version = text.partition("@")
    if name not in BEHAVIOURS:
        near = difflib.get_close_matches(name[:64].lower(), BEHAVIOURS, n=1, cutoff=0.5)
        hint = f'did you mean "{near[0]}"?' if near else "known are " + ", ".join(BEHAVIOURS)
        raise InputError([problem("runtime", text, "unknown runtime; " + hint)])
    if at and not re.fullmatch(r"v?[0-9]{1,9}(\.[0-9]{1,9}){0,3}", version, re.ASCII):
        raise InputError([problem("runtime", text, f'no version; write it as "{name}@1.2.3"')])
    numbers = tuple(int(part) for part in version.removeprefix("v").split(".")) if at else ()
    found = Engine(name, numbers)
    found.find_behaviour()
    return found
