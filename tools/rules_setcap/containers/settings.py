"""The settings of one container, whether they come from command line flags, a Compose file or a Kubernetes manifest."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rules_setcap.capabilities import names
from rules_setcap.diagnostics.errors import quote

T = TypeVar("T")

POD_IDS = 1 << 16
"""The number of IDs in the user namespace of a pod, by default. The source is userNamespaces.idsPerPod of the kubelet."""


@dataclass(frozen=True)
class Setting(Generic[T]):
    """A value that somebody set, with the place where it is set.

    Attributes:
      value: the value.
      where: the prefix of messages about the value: "docker run --user", or
        "deploy.yaml:12: spec.containers[0].securityContext.runAsUser".
    """

    value: T
    where: str


@dataclass(frozen=True)
class Mount:
    """A mount that covers files of the image.

    Attributes:
      target: the absolute path in the container, without "." and "..".
      kind: the engine's name for the kind of mount: "bind", "volume", "tmpfs", "image" and the like.
      nosuid: whether the mount has MS_NOSUID, so that the kernel ignores file capabilities below it (mount(2);
        mnt_may_suid in fs/namespace.c). None if the mount of the source on the host decides.
    """

    target: str
    kind: str
    nosuid: bool | None


@dataclass(frozen=True)
class Settings:
    """The settings of one container, as a container engine receives them.

    An attribute that nobody sets is None or empty; then the image or the engine decides.

    Attributes:
      where: the place where the container itself is described, as in Setting.where.
      engine_name: "docker", "podman", "nerdctl", "containerd" (under Kubernetes) or "cri-o".
      name: the name of the container or of the Compose service; may be empty.
      image: the name of the image.
      user: the user as typed: uid, name, uid:gid or name:group.
      groups: the supplementary groups (`--group-add`), names or gids.
      added: the added capabilities in libcap's spelling ("cap_net_raw"), or "all".
      dropped: the dropped capabilities, spelled likewise.
      privileged: whether the container is privileged.
      no_new_privs: whether no_new_privs is set (prctl(2), PR_SET_NO_NEW_PRIVS).
      run_as_non_root: whether Kubernetes refuses to start the container as root.
      entrypoint: the words that replace the image's ENTRYPOINT; () removes it.
      command: the words that replace the image's CMD.
      init: whether the engine's own small init runs as process 1 and starts the image's program.
      read_only: whether the root filesystem is read-only.
      mounts: the mounts, in the order of the settings.
      user_namespace: docker: "host"; podman: the mode; Kubernetes: "pod" or "host".
      labels: names and values of labels. podman reads one that can limit capabilities.
      environment: names and values of variables, in the order of the settings; the value None means unknown.
      other_variables: the source of further variables that are not known here, such as a file; None if there is none.
      directory: the working directory that replaces the image's; "" means unknown.
      network: the network mode: "host" is the host's network namespace, "container:NAME" is that of another container,
        "" means unknown.
      sysctls: names with dots, and values.
      notes: sentences about input that was not read although it may matter.
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
        """Whether the container, or its pod, has its own network namespace."""
        mode = self.network.value if self.network else "bridge"
        return mode not in ("", "host") and not mode.startswith(("container:", "ns:", "pod:", "service:"))

    @property
    def form(self) -> str:
        """The form of the settings: "flags", "compose" or "kubernetes". Fixes are written in the same form."""
        if self.engine_name in ("containerd", "cri-o"):
            return "kubernetes"
        return "flags" if self.where.startswith(("docker ", "nerdctl ", "podman ", "podman-remote ")) else "compose"

    def build_argv(self, entrypoint: Sequence[str], cmd: Sequence[str]) -> tuple[str, ...]:
        """Returns the command line of the container's first program, without the engine's init.

        Setting an entrypoint also removes the image's CMD (docker run: "Overriding image defaults"; Kubernetes: "Define a
        Command and Arguments for a Container").

        Args:
          entrypoint: the image's ENTRYPOINT.
          cmd: the image's CMD.
        """
        if self.entrypoint is None:
            return (*entrypoint, *(cmd if self.command is None else self.command.value))
        return (*self.entrypoint.value, *(() if self.command is None else self.command.value))

    def find_mount_over(self, path: str) -> Setting[Mount] | None:
        """Returns the mount that hides a file of the image, or None.

        Args:
          path: the absolute path of the file, with symbolic links resolved.
        """
        over = [mount for mount in self.mounts if (path + "/").startswith(mount.value.target.rstrip("/") + "/")]
        # The deepest mount hides the others. Of two mounts at one path, the later one hides the earlier one.
        return max(over[::-1], key=lambda mount: len(mount.value.target), default=None)


def normalize_target(path: str) -> str:
    """Returns the target path of a mount in normal form: absolute, without "." and "..".

    Raises:
      ValueError: the path is not valid; the error says why.
    """
    if "\0" in path:
        raise ValueError("has a NUL")
    if not path.startswith("/"):
        raise ValueError(
            f"must be absolute; write {quote('/' + path)}"
            if path
            else "must not be empty; write an absolute path in the container"
        )
    return posixpath.normpath("/" + path.lstrip("/"))


_DISPLAY_NAMES = {"docker": "Docker", "podman": "podman", "nerdctl": "nerdctl", "containerd": "containerd", "cri-o": "CRI-O"}


def format_engine_name(engine_name: str) -> str:
    """Returns the name of a container engine as its own documentation spells it."""
    return _DISPLAY_NAMES[engine_name]


def parse_capability(name: str, engine_name: str) -> str:
    """Returns the libcap name of a capability in a setting, or "all".

    Docker and podman accept any case, with or without `CAP_` (moby daemon/pkg/oci/caps/utils.go, NormalizeLegacyCapabilities;
    containers/common pkg/capabilities, NormalizeCapabilities). containerd prefixes `CAP_` to every name of a manifest
    (internal/cri/opts/spec_opts.go, WithCapabilities). CAP_CHOWN therefore becomes CAP_CAP_CHOWN, which runc ignores with a
    warning that nobody sees. CRI-O accepts an upper case `CAP_` (internal/factory/container/container.go,
    SpecSetupCapabilities).

    Args:
      name: the name as the user wrote it.
      engine_name: as Settings.engine_name.

    Raises:
      ValueError: the engine does not know the name; the error says what to write instead.
    """
    lowered = names.lower_ascii(name)
    if lowered == "all":
        return lowered
    number = names.find_number(name)
    if number is None:
        if "," in name and engine_name == "docker":
            raise ValueError("several capabilities in one value; give the option once for each of them")
        closest = names.suggest_name(name)
        spelling = closest.removeprefix("cap_").upper()
        raise ValueError(
            f'unknown capability; did you mean "{spelling}"?' if closest else "unknown capability; capabilities(7) lists them"
        )
    if lowered.startswith("cap_"):
        bare = lowered[len("cap_") :].upper()
        if engine_name == "containerd":
            raise ValueError(f'Kubernetes has names without CAP_, and containerd would silently ignore this one; write "{bare}"')
        if engine_name == "cri-o" and name != name.upper():
            raise ValueError(f'CRI-O knows CAP_ in upper case only; write "{bare}"')
    return names.NAMES[number]
