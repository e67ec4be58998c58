"""The settings of one container, as flags, Compose or Kubernetes have them."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from rules_setcap.capabilities import names
from rules_setcap.diagnostics.errors import quote


@dataclass(frozen=True)
class Setting[T]:
    """A value, and where it is said.

    Attributes:
      value: the value.
      where: what a message about it starts with: "docker run --user", or
        "deploy.yaml:12: spec.containers[0].securityContext.runAsUser".
    """

    value: T
    where: str


@dataclass(frozen=True)
class Mount:
    """Something mounted over the image's own files.

    Attributes:
      target: absolute path in the container, without "." and "..".
      kind: "bind", "volume", "tmpfs", "image" and the like, as the runtime calls it.
      nosuid: whether the kernel ignores file capabilities below it (mount(2),
        MS_NOSUID; mnt_may_suid in fs/namespace.c). None where the host's own mount of
        the source decides.
    """

    target: str
    kind: str
    nosuid: bool | None


@dataclass(frozen=True)
class Settings:
    """One container, as somebody told a runtime to make it.

    What nobody said is None, or empty: the image or the runtime decides.

    Attributes:
      where: the container itself, as in Setting.where.
      engine_name: "docker", "podman", "nerdctl", "containerd" (under Kubernetes) or "cri-o".
      name: of the container, or the Compose service; may be empty.
      image: the image's name.
      user: as typed: uid, name, uid:gid, name:group.
      groups: supplementary groups, names or gids (`--group-add`).
      added: capabilities in libcap's spelling ("cap_net_raw"), or "all".
      dropped: likewise.
      privileged: whether the container is.
      no_new_privs: whether the flag is set: prctl(2), PR_SET_NO_NEW_PRIVS.
      run_as_non_root: whether Kubernetes refuses to start it as root.
      entrypoint: in place of the image's ENTRYPOINT; () for none at all.
      command: in place of the image's CMD.
      init: whether a small init of the runtime's runs first, and starts the rest.
      read_only: whether the root file system is.
      mounts: in the order said.
      user_namespace: docker: "host"; podman: the mode; Kubernetes: "pod" or "host".
      labels: of podman, as they can limit capabilities.
      environment: variables by name; None is a value that is not known here.
      other_variables: what may set more of them, such as a file; None if nothing does.
      directory: the working directory, in place of the image's; "" is one that is not known here.
      network: the network namespace, if it is said: "host" is the host's, "container:NAME" another container's; "" is not known.
      sysctls: names with dots, and values.
      notes: sentences about what was not read, although it may matter.
    """

    where: str
    engine_name: str
    name: str = ""
    image: Setting[str] | None = None
    user: Setting[str] | None = None
    groups: tuple[Setting[str], ...] = ()
    added: tuple[Setting[str], ...] = ()
    dropped: tuple[Setting[str], ...] = ()
    privileged: Setting[bool] | None = None
    no_new_privs: Setting[bool] | None = None
    run_as_non_root: Setting[bool] | None = None
    entrypoint: Setting[tuple[str, ...]] | None = None
    command: Setting[tuple[str, ...]] | None = None
    init: Setting[bool] | None = None
    read_only: Setting[bool] | None = None
    mounts: tuple[Setting[Mount], ...] = ()
    user_namespace: Setting[str] | None = None
    labels: tuple[Setting[tuple[str, str]], ...] = ()
    environment: tuple[Setting[tuple[str, str | None]], ...] = ()
    other_variables: Setting[str] | None = None
    directory: Setting[str] | None = None
    network: Setting[str] | None = None
    sysctls: tuple[Setting[tuple[str, str]], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def has_own_network(self) -> bool:
        """Whether the container, or its pod, has a network namespace of its own."""
        mode = self.network.value if self.network else "bridge"
        return mode not in ("", "host") and not mode.startswith(("container:", "ns:", "pod:", "service:"))

    @property
    def form(self) -> str:
        """The form that the settings have: "flags", "compose" or "kubernetes"; fixes are written in the same."""
        if self.engine_name in ("containerd", "cri-o"):
            return "kubernetes"
        return "flags" if self.where.startswith(("docker ", "nerdctl ", "podman ", "podman-remote ")) else "compose"

    def build_argv(self, entrypoint: Sequence[str], cmd: Sequence[str]) -> tuple[str, ...]:
        """What runs in an image with this ENTRYPOINT and CMD, without the runtime's init.

        An entrypoint said here takes the image's CMD away too (docker run: "Overriding
        image defaults"; Kubernetes: "Define a Command and Arguments for a Container").
        """
        if self.entrypoint is None:
            return (*entrypoint, *(cmd if self.command is None else self.command.value))
        return (*self.entrypoint.value, *(() if self.command is None else self.command.value))

    def find_mount_over(self, path: str) -> Setting[Mount] | None:
        """The mount that hides the image's own file `path` (absolute, no links), if any."""
        over = [mount for mount in self.mounts if (path + "/").startswith(mount.value.target.rstrip("/") + "/")]
        # The deepest hides the others, and of two in one place the later one.
        return max(over[::-1], key=lambda mount: len(mount.value.target), default=None)


def normalize_target(path: str) -> str:
    """`path` of a mount in the container in its plain form.

    Raises:
      ValueError: with what is wrong.
    """
    if "\0" in path:
        raise ValueError("has a NUL")
    if not path.startswith("/"):
        raise ValueError(f"must be absolute; write {quote('/' + path)}" if path else "must not be empty; write an absolute path in the container")
    return posixpath.normpath("/" + path.lstrip("/"))


_CALLED = {"docker": "Docker", "podman": "podman", "nerdctl": "nerdctl", "containerd": "containerd", "cri-o": "CRI-O"}


def format_engine_name(runtime: str) -> str:
    """The name of a runtime as its people write it."""
    return _CALLED[runtime]


def parse_capability(name: str, runtime: str) -> str:
    """The libcap name of what `runtime` takes as `name`, or "all".

    Docker and podman: any case, with or without `CAP_` (moby daemon/pkg/oci/caps/utils.go,
    NormalizeLegacyCapabilities; containers/common pkg/capabilities, NormalizeCapabilities).
    containerd puts `CAP_` before whatever Kubernetes says (internal/cri/opts/spec_opts.go,
    WithCapabilities), so that CAP_CHOWN becomes CAP_CAP_CHOWN, which runc ignores with a
    warning nobody sees. CRI-O takes an upper case `CAP_` (internal/factory/container/container.go,
    SpecSetupCapabilities).

    Raises:
      ValueError: with what is wrong, and what would be right.
    """
    plain = names.lower(name)
    if plain == "all":
        return plain
    number = names.number(name)
    if number is None:
        if "," in name and runtime == "docker":
            raise ValueError("several in one; Docker takes one name each time the option is given")
        near = names.suggestion(name)
        spelt = near.removeprefix("cap_").upper()
        raise ValueError(f'unknown capability; did you mean "{spelt}"?' if near else "unknown capability; capabilities(7) lists them")
    if plain.startswith("cap_"):
        bare = plain[len("cap_") :].upper()
        if runtime == "containerd":
            raise ValueError(f'Kubernetes has names without CAP_, and containerd would silently ignore this one; write "{bare}"')
        if runtime == "cri-o" and name != name.upper():
            raise ValueError(f'CRI-O knows CAP_ in upper case only; write "{bare}"')
    return names.NAMES[number]
