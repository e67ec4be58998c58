"""Parses command line flags as docker, podman and nerdctl do: with spf13/pflag, without interspersed arguments."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rules_setcap.diagnostics.errors import quote
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.diagnostics.suggestions import find_closest


@dataclass(frozen=True)
class Flags:
    """The flags that a command knows.

    Attributes:
      switches: the long names of flags without a value, or with a value after "=" only.
      values: the long names of flags that take a value.
      letters: long names by short name.
      aliases: long names by an older name that still works.
    """

    switches: frozenset[str]
    values: frozenset[str]
    letters: dict[str, str]
    aliases: dict[str, str]


class ParsedFlag(NamedTuple):
    """A flag of a command line.

    Attributes:
      name: its long name.
      value: its value; "true" for a switch without a value.
      typed: the flag as typed, without its value.
    """

    name: str
    value: str
    typed: str


def define_flags(switches: str, values: str, letters: str, aliases: str = "") -> Flags:
    """Returns the flags of a command.

    Args:
      switches: names separated by spaces; see Flags.
      values: names separated by spaces.
      letters: pairs `letter=name` separated by spaces.
      aliases: pairs `alias=name` separated by spaces.
    """
    pairs = (dict(pair.split("=", 1) for pair in text.split()) for text in (letters, aliases))
    return Flags(frozenset(switches.split()), frozenset(values.split()), *pairs)


def _remove_flags(flags: Flags, names: str) -> Flags:
    """Returns flags without those of the given names, which are separated by spaces."""
    removed = frozenset(names.split())
    letters = {letter: name for letter, name in flags.letters.items() if name not in removed}
    aliases = {alias: name for alias, name in flags.aliases.items() if name not in removed}
    return Flags(flags.switches - removed, flags.values - removed, letters, aliases)


def parse_flags(
    known: Flags, words: Sequence[str], problems: Problems, restore: Callable[[str], str] = str
) -> tuple[list[ParsedFlag], list[str]]:
    """Parses the flags at the start of a list of words.

    Args:
      known: the flags of the command.
      words: the words after the command.
      problems: receives a message for each flag that is wrong.
      restore: returns a part of a word as it was typed, for messages.

    Returns:
      The flags, and the arguments after them.
    """
    parser = _Parser(known, list(words), problems, restore)
    while parser.rest and parser.rest[0].startswith("-") and parser.rest[0] != "-":
        word = parser.rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            name, separator, value = word[2:].partition("=")
            parser.add_flag(name, "--" + name, value if separator else None)
        else:
            parser.add_letters(word)
    return parser.flags, parser.rest


class _Parser:
    """A parser of flags.

    Attributes:
      flags: the flags so far.
      rest: the words that are not parsed yet.
    """

    def __init__(self, known: Flags, rest: list[str], problems: Problems, restore: Callable[[str], str]) -> None:
        self.flags: list[ParsedFlag] = []
        self.rest = rest
        self._known = known
        self._problems = problems
        self._restore = restore

    def add_flag(self, name: str, typed: str, value: str | None) -> None:
        """Adds a flag, which takes the next word as its value if it needs one and has none."""
        known = self._known
        name = known.aliases.get(name, name)
        if name not in known.switches and name not in known.values:
            closest = find_closest(name, sorted(known.switches | known.values))
            hint = f'; did you mean "--{closest}"?' if closest else ""
            self._problems.add_message(f"{quote(self._restore(typed))}: unknown flag{hint}")
            if not closest:
                return
            name = closest  # The flag probably takes the same kind of value, so that the following words can be parsed.
        if name in known.switches:
            self.flags.append(ParsedFlag(name, "true" if value is None else value, typed))
        elif value is not None:
            self.flags.append(ParsedFlag(name, value, typed))
        elif self.rest:
            self.flags.append(ParsedFlag(name, self.rest.pop(0), typed))
        else:
            self._problems.add_message(f"{quote(self._restore(typed))}: needs a value")

    def add_letters(self, word: str) -> None:
        """Adds the short flags of a word, as in -itu 65532 (pflag's parseSingleShortArg)."""
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            name = self._known.letters.get(letter)
            if name is None:
                self._problems.add_message(f"{quote(self._restore('-' + letter))}: unknown flag in {quote(self._restore(word))}")
                return
            value = None
            # In pflag, an "=" with nothing after it is itself the value.
            if len(letters) > 1 and letters[0] == "=":
                value, letters = letters[1:], ""
            elif letters and name in self._known.values:
                value, letters = letters, ""
            self.add_flag(name, "-" + letter, value)


def parse_boolean(value: str) -> bool | None:
    """Returns the boolean that Go's strconv.ParseBool reads from a text; None if the text is not a boolean."""
    if value in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    return False if value in ("0", "f", "F", "FALSE", "false", "False") else None


# docker/cli cli/command/container/{run,create,opts}.go, with hidden flags and flags of old releases.
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
    aliases="dns-opt=dns-option net=network net-alias=network-alias",
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
    aliases="""
    healthcheck-command=health-cmd healthcheck-interval=health-interval healthcheck-retries=health-retries
    healthcheck-start-period=health-start-period healthcheck-timeout=health-timeout net=network override-arch=arch
    override-os=os override-variant=variant
    """,
)

# `create` does not start the container, so it lacks the flags about a process that runs.
DOCKER_CREATE = _remove_flags(DOCKER, "detach detach-keys sig-proxy")
PODMAN_CREATE = _remove_flags(PODMAN, "detach detach-keys passwd preserve-fd preserve-fds rmi sig-proxy")
PODMAN_CREATE = dataclasses.replace(PODMAN_CREATE, values=PODMAN_CREATE.values | {"init-ctr"})

# Flags between the program's name and the subcommand: docker --help, podman --help.
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
    aliases="dns-opt=dns-option net=network",
)
NERDCTL_GLOBAL = define_flags(
    switches="debug debug-full experimental help insecure-registry kube-hide-dupe version",
    values="""
    address bridge-ip cgroup-manager cni-netconfpath cni-path data-root host-gateway-ip hosts-dir namespace snapshotter
    userns-remap
    """,
    letters="a=address H=address n=namespace v=version",
    aliases="host=address storage-driver=snapshotter",
)
