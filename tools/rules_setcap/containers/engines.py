"""Container engines, and what each version of them grants when the settings say nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rules_setcap.capabilities import names
from rules_setcap.diagnostics import suggestions
from rules_setcap.diagnostics.errors import InputError, format_problem


@dataclass(frozen=True)
class Engine:
    """A container engine, in one version and configuration.

    Attributes:
      name: "docker", "podman", "nerdctl", "containerd" (under Kubernetes) or "cri-o".
      version: the numbers of the version; () for the newest.
      default_capabilities: the mask of the capabilities that the engine's configuration grants by default
        (`default_capabilities` of containers.conf and crio.conf). None for the built-in defaults.
    """

    name: str
    version: tuple[int, ...] = ()
    default_capabilities: int | None = None

    def __str__(self) -> str:
        return self.name + ("@" + ".".join(map(str, self.version)) if self.version else "")

    def find_behaviour(self) -> EngineBehaviour:
        """Returns the behaviour of this version.

        Raises:
          InputError: the version is older than the oldest one in BEHAVIOURS.
        """
        behaviours = BEHAVIOURS[self.name]
        if not self.version:
            return behaviours[-1]
        version = (*self.version, 0, 0)  # 24.0 means 24.0.0.
        if version < behaviours[0].since:
            oldest = ".".join(map(str, behaviours[0].since))
            raise InputError([format_problem("runtime", str(self), f'too old; the oldest known here is "{self.name}@{oldest}"')])
        return next(behaviour for behaviour in reversed(behaviours) if version >= behaviour.since)


@dataclass(frozen=True)
class EngineBehaviour:
    """The behaviour of a container engine from one version on.

    Attributes:
      since: the first version with this behaviour.
      default_capabilities: the mask of the capabilities that the engine grants if the settings name none.
      sets_inheritable: whether the granted capabilities are inheritable too (CVE-2022-24769 and its kin).
      grants_to_users: whether the granted capabilities are permitted and effective for a process of a user other than root,
        before its execve. If not, such a process has them in the bounding set only.
      source: the place in the engine's source code that shows this behaviour.
    """

    since: tuple[int, ...]
    default_capabilities: int
    sets_inheritable: bool
    grants_to_users: bool
    source: str


def _make_mask(text: str) -> int:
    """Returns the mask of capabilities, given by names without "cap_" and separated by spaces."""
    return sum(1 << names.NAMES.index("cap_" + name) for name in text.split())


_ELEVEN = "chown dac_override fowner fsetid kill net_bind_service setfcap setgid setpcap setuid sys_chroot"
_FOURTEEN = _make_mask(_ELEVEN + " audit_write mknod net_raw")
_CRIO = _make_mask("chown dac_override fsetid fowner setgid setuid setpcap net_bind_service kill")

BEHAVIOURS = {
    # 24.0.0 sets the user after it grants, so that the granted capabilities stay permitted. 23.0.7 and 24.0.6 do the same
    # on purpose: moby#44804, moby#45491.
    "docker": (
        EngineBehaviour((19, 3), _FOURTEEN, True, False, "moby 15ff09395c: oci/oci.go, SetCapabilities"),
        EngineBehaviour((20, 10, 14), _FOURTEEN, False, False, "moby 0d9a37d0c2, CVE-2022-24769: oci/oci.go, SetCapabilities"),
        EngineBehaviour((23, 0, 7), _FOURTEEN, False, True, "moby 3aef732e61, moby#45491: oci/oci.go, SetCapabilities"),
    ),
    # --cap-add decides about a process of a user other than root; see process.py.
    "podman": (
        EngineBehaviour((3, 0), _FOURTEEN, True, False, "podman v3.0.0: pkg/specgen/generate/security.go"),
        EngineBehaviour((3, 4, 5), _FOURTEEN, False, False, "podman v3.4.5, CVE-2022-27649: pkg/specgen/generate/security.go"),
        EngineBehaviour((4, 0, 0), _FOURTEEN, True, False, "podman v4.0.0: pkg/specgen/generate/security.go"),
        EngineBehaviour((4, 0, 3), _FOURTEEN, False, False, "podman v4.0.3, CVE-2022-27649: pkg/specgen/generate/security.go"),
        EngineBehaviour(
            (4, 4, 0),
            _make_mask(_ELEVEN.removesuffix(" sys_chroot")),
            False,
            False,
            "containers/common a3328f26: pkg/config/default.go",
        ),
        EngineBehaviour((4, 4, 3), _make_mask(_ELEVEN), False, False, "containers/common c700408f: pkg/config/default.go"),
    ),
    "containerd": (
        EngineBehaviour((1, 4), _FOURTEEN, True, True, "containerd v1.4: oci/spec_opts.go, WithCapabilities"),
        EngineBehaviour(
            (1, 5, 11), _FOURTEEN, False, True, "containerd v1.5.11, CVE-2022-24769: oci/spec_opts.go, WithCapabilities"
        ),
        EngineBehaviour((1, 6, 0), _FOURTEEN, True, True, "containerd v1.6.0: oci/spec_opts.go, WithCapabilities"),
        EngineBehaviour(
            (1, 6, 2), _FOURTEEN, False, True, "containerd v1.6.2, CVE-2022-24769: oci/spec_opts.go, WithCapabilities"
        ),
    ),
    # nerdctl has the defaults of the containerd library that it is built with; nerdctl 1.0 is built with 1.6.8.
    "nerdctl": (
        EngineBehaviour((1, 0), _FOURTEEN, False, True, "nerdctl v1.0: pkg/cmd/container/run_security_linux.go, generateCapOpts"),
    ),
    # 1.24.3 adds the option add_inheritable_capabilities, which is on by default in the 1.24 branch only.
    "cri-o": (
        EngineBehaviour((1, 18), _CRIO, True, True, "cri-o v1.18: server/container_create_linux.go, setupCapabilities"),
        EngineBehaviour(
            (1, 24, 0), _CRIO, False, True, "cri-o v1.24.0, CVE-2022-27652: server/container_create.go, setupCapabilities"
        ),
        EngineBehaviour((1, 24, 3), _CRIO, True, True, "cri-o v1.24.3: pkg/config/config.go, AddInheritableCapabilities"),
        EngineBehaviour((1, 25, 0), _CRIO, False, True, "cri-o v1.25.0: internal/factory/container, SpecSetupCapabilities"),
    ),
}
"""The behaviours of each engine by its name, the oldest first, taken from the engines' own sources.

The built-in defaults: moby daemon/pkg/oci/caps/defaults.go, containerd pkg/oci/spec.go (defaultUnixCaps), containers/common
pkg/config/default.go, cri-o internal/config/capabilities.
"""


def parse_engine(text: str) -> Engine:
    """Returns the engine that a text names, such as "docker" or "podman@4.9.3".

    Raises:
      InputError: the engine is unknown, or its version is older than the oldest one in BEHAVIOURS.
    """
    name, at, version = text.partition("@")
    if name not in BEHAVIOURS:
        closest = suggestions.find_closest(name.lower(), BEHAVIOURS, cutoff=0.5)
        hint = f'did you mean "{closest}"?' if closest else "known are " + ", ".join(BEHAVIOURS)
        raise InputError([format_problem("runtime", text, "unknown runtime; " + hint)])
    if at and not re.fullmatch(r"v?[0-9]{1,9}(\.[0-9]{1,9}){0,3}", version, re.ASCII):
        raise InputError([format_problem("runtime", text, f'not a valid version; write it as "{name}@1.2.3"')])
    numbers = tuple(int(part) for part in version.removeprefix("v").split(".")) if at else ()
    engine = Engine(name, numbers)
    engine.find_behaviour()
    return engine
