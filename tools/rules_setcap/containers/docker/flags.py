"""Parses command line flags as docker, podman and nerdctl do: spf13/pflag, without interspersed arguments."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rules_setcap.diagnostics.errors import quote


@dataclass(frozen=True)
class Flags:
    """The flags of one command.

    Attributes:
      switches: long names of those without a value, or with one after "=" only.
      values: long names of those that take a value.
      letters: long name by short one.
      others: long name by an older one that still works.
    """

    switches: frozenset[str]
    values: frozenset[str]
    letters: dict[str, str]
    others: dict[str, str]


class Given(NamedTuple):
    """One flag of a command line.

    Attributes:
      name: its long name.
      value: "true" for a switch alone.
      typed: the flag as typed, without its value.
    """

    name: str
    value: str
    typed: str


def define_flags(switches: str, values: str, letters: str, others: str = "") -> Flags:
    """Returns flags from names with spaces between; letters and others are `x=name`."""
    pairs = (dict(pair.split("=", 1) for pair in text.split()) for text in (letters, others))
    return Flags(frozenset(switches.split()), frozenset(values.split()), *pairs)


def parse_flags(
    known: Flags, words: Sequence[str], problems: list[str], shown: Callable[[str], str] = str
) -> tuple[list[Given], list[str]]:
    """Parses the flags at the start of `words`; returns them, and the arguments after them.

    Args:
      known: the flags of the command.
      words: what follows the command.
      problems: list to which a sentence is added for each flag that is wrong.
      shown: returns a part of a word as it was typed, for messages.
    """
    parser = _Parser(known, list(words), problems, shown)
    while parser.rest and parser.rest[0].startswith("-") and parser.rest[0] != "-":
        word = parser.rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            name, has_value, value = word[2:].partition("=")
            parser.one(name, "--" + name, value if has_value else None)
        else:
            parser.letters(word)
    return parser.given, parser.rest


class _Parser:
    """The flags that were parsed, and the words that were not yet."""

    def __init__(self, known: Flags, rest: list[str], problems: list[str], shown: Callable[[str], str]) -> None:
        self.known = known
        self.rest = rest
        self.problems = problems
        self.shown = shown
        self.given: list[Given] = []

    def one(self, name: str, typed: str, value: str | None) -> None:
        """Adds one flag, which takes the next word if it needs a value and has none."""
        known = self.known
        name = known.others.get(name, name)
        if name not in known.switches and name not in known.values:
            near = difflib.get_close_matches(name[:64], sorted(known.switches | known.values), n=1, cutoff=0.6)
            self.problems.append(f"{quote(self.shown(typed))}: unknown flag" + (f'; did you mean "--{near[0]}"?' if near else ""))
            if not near:
                return
            name = near[0]  # It likely has the same kind of value: what follows can be read.
        if name in known.switches:
            self.given.append(Given(name, "true" if value is None else value, typed))
        elif value is not None:
            self.given.append(Given(name, value, typed))
        elif self.rest:
            self.given.append(Given(name, self.rest.pop(0), typed))
        else:
            self.problems.append(f"{quote(self.shown(typed))}: needs a value")

    def letters(self, word: str) -> None:
        """Adds short flags, as in -itu 65532 (pflag's parseSingleShortArg)."""
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            name = self.known.letters.get(letter)
            if name is None:
                self.problems.append(f"{quote(self.shown('-' + letter))}: unknown flag in {quote(self.shown(word))}")
                return
            value = None
            # As pflag does: an "=" with nothing after it is itself the value.
            if len(letters) > 1 and letters[0] == "=":
                value, letters = letters[1:], ""
            elif letters and name in self.known.values:
                value, letters = letters, ""
            self.one(name, "-" + letter, value)


def parse_boolean(value: str) -> bool | None:
    """Returns the boolean that Go's strconv.ParseBool reads; None if there is none."""
    if value in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    return False if value in ("0", "f", "F", "FALSE", "false", "False") else None


# docker/cli cli/command/container/{run,create,opts}.go; the last words are hidden, or of old releases.
DOCKER = define_flags(
    switches="""
    detach disable-content-trust help init interactive no-healthcheck oom-kill-disable privileged publish-all quiet
    read-only rm sig-proxy tty use-api-socket
    """,
    values="""
    add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile cpu-count
    cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems detach-keys device
    device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops dns dns-option dns-search
    domainname entrypoint env env-file expose gpus group-add health-cmd health-interval health-retries
    health-start-interval health-start-period health-timeout hostname io-maxbandwidth io-maxiops ip ip6 ipc isolation
    kernel-memory label label-file link link-local-ip log-driver log-opt mac-address memory memory-reservation memory-swap
    memory-swappiness mount name network network-alias oom-score-adj pid pids-limit platform publish pull restart runtime
    security-opt shm-size stop-signal stop-timeout storage-opt sysctl tmpfs ulimit user userns uts volume volume-driver
    volumes-from workdir
    """,
    letters="""
    a=attach c=cpu-shares d=detach e=env h=hostname i=interactive l=label m=memory p=publish P=publish-all q=quiet t=tty
    u=user v=volume w=workdir
    """,
    others="dns-opt=dns-option net=network net-alias=network-alias",
)

# podman cmd/podman/common/{create,netflags}.go, cmd/podman/containers/run.go, cmd/podman/utils/alias.go.
PODMAN = define_flags(
    switches="""
    detach disable-content-trust env-host help http-proxy init interactive no-healthcheck no-hostname no-hosts
    oom-kill-disable passwd privileged publish-all quiet read-only read-only-tmpfs replace rm rmi rootfs sig-proxy tls-verify
    tty unsetenv-all
    """,
    values="""
    add-host annotation arch attach authfile blkio-weight blkio-weight-device cap-add cap-drop cert-dir cgroup-conf
    cgroup-parent cgroupns cgroups chrootdirs cidfile conmon-pidfile cpu-period cpu-quota cpu-rt-period cpu-rt-runtime
    cpu-shares cpus cpuset-cpus cpuset-mems creds decryption-key detach-keys device device-cgroup-rule device-read-bps
    device-read-iops device-write-bps device-write-iops dns dns-option dns-search entrypoint env env-file env-merge expose
    gidmap gpus group-add group-entry health-cmd health-interval health-log-destination health-max-log-count
    health-max-log-size health-on-failure health-retries health-start-period health-startup-cmd health-startup-interval
    health-startup-retries health-startup-success health-startup-timeout health-timeout hostname hosts-file hostuser
    image-volume init-ctr init-path ip ip6 ipc kernel-memory label label-file log-driver log-opt mac-address memory
    memory-reservation memory-swap memory-swappiness mount name network network-alias oom-score-adj os passwd-entry
    personality pid pidfile pids-limit platform pod pod-id-file preserve-fd preserve-fds publish pull rdt-class requires
    restart retry retry-delay sdnotify seccomp-policy secret security-opt shm-size shm-size-systemd signature-policy
    stop-signal stop-timeout storage-opt subgidname subuidname sysctl systemd timeout tmpfs tz uidmap ulimit umask unsetenv
    user userns uts variant volume volumes-from workdir
    """,
    letters="""
    a=attach c=cpu-shares d=detach e=env h=hostname i=interactive l=label m=memory p=publish P=publish-all q=quiet t=tty
    u=user v=volume w=workdir
    """,
    others="""
    healthcheck-command=health-cmd healthcheck-interval=health-interval healthcheck-retries=health-retries
    healthcheck-start-period=health-start-period healthcheck-timeout=health-timeout net=network override-arch=arch
    override-os=os override-variant=variant
    """,
)

# What may stand between the program's name and "run": docker --help, podman --help.
DOCKER_GLOBAL = define_flags(
    switches="debug help tls tlsverify version",
    values="config context host log-level tlscacert tlscert tlskey",
    letters="c=context D=debug H=host l=log-level v=version",
)
PODMAN_GLOBAL = define_flags(
    switches="help remote syslog transient-store version",
    values="""
    cdi-spec-dir cgroup-manager config conmon connection events-backend hooks-dir identity imagestore log-level module
    network-cmd-path network-config-dir out root runroot runtime runtime-flag ssh storage-driver storage-opt tls-ca tls-cert
    tls-key tmpdir url volumepath
    """,
    letters="c=connection r=remote v=version",
)

# docker/cli cli/command/service/{create,opts}.go.
DOCKER_SERVICE = define_flags(
    switches="detach help init no-healthcheck no-resolve-image quiet read-only tty with-registry-auth",
    values="""
    cap-add cap-drop config constraint container-label credential-spec dns dns-option dns-search endpoint-mode entrypoint env
    env-file generic-resource group health-cmd health-interval health-retries health-start-interval health-start-period
    health-timeout host hostname isolation label limit-cpu limit-memory limit-pids log-driver log-opt max-concurrent mode
    mount name network oom-score-adj placement-pref publish replicas replicas-max-per-node reserve-cpu reserve-memory
    restart-condition restart-delay restart-max-attempts restart-window rollback-delay rollback-failure-action
    rollback-max-failure-ratio rollback-monitor rollback-order rollback-parallelism secret stop-grace-period stop-signal
    sysctl ulimit update-delay update-failure-action update-max-failure-ratio update-monitor update-order
    update-parallelism user workdir
    """,
    letters="d=detach e=env l=label p=publish q=quiet t=tty u=user w=workdir",
)

# containerd/nerdctl cmd/nerdctl/container/{container_run,container_create}.go, cmd/nerdctl/main.go.
NERDCTL = define_flags(
    switches="detach help init interactive no-healthcheck oom-kill-disable privileged quiet read-only rm rootfs sig-proxy tty",
    values="""
    add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-conf cgroup-parent cgroupns cidfile
    cosign-certificate-identity cosign-certificate-identity-regexp cosign-certificate-oidc-issuer
    cosign-certificate-oidc-issuer-regexp cosign-key cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus
    cpuset-cpus cpuset-mems detach-keys device device-read-bps device-read-iops device-write-bps device-write-iops dns
    dns-option dns-search domainname entrypoint env env-file gpus group-add health-cmd health-interval health-retries
    health-start-period health-timeout hostname init-binary ip ip6 ipc ipfs-address isolation kernel-memory label label-file
    log-driver log-opt mac-address memory memory-reservation memory-swap memory-swappiness mount name network oom-score-adj
    pid pidfile pids-limit platform publish pull rdt-class restart runtime security-opt shm-size stop-signal stop-timeout
    sysctl systemd tmpfs ulimit umask user userns uts verify volume volumes-from workdir
    """,
    letters="a=attach d=detach e=env h=hostname i=interactive l=label m=memory p=publish q=quiet t=tty u=user v=volume w=workdir",
    others="dns-opt=dns-option net=network",
)
NERDCTL_GLOBAL = define_flags(
    switches="debug debug-full experimental help insecure-registry kube-hide-dupe version",
    values="""
    address bridge-ip cgroup-manager cni-netconfpath cni-path data-root host-gateway-ip hosts-dir namespace snapshotter
    userns-remap
    """,
    letters="a=address H=address n=namespace v=version",
    others="host=address storage-driver=snapshotter",
)
