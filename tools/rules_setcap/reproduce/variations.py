"""The variations: the differences between the surroundings of the two builds.

Each variation has a name, for --keep and for the report. It changes the surroundings of one build or of both, or says why this
host cannot do that.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.reproduce.host import runs
from rules_setcap.reproduce.surroundings import FAKETIME_VARIABLES, make_user_command
from rules_setcap.reproduce.workspace_copies import copy_workspace, find_unreadable, list_mounts, make_mount_points

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from rules_setcap.reproduce.host import Host
    from rules_setcap.reproduce.surroundings import Surroundings

_USER = 54321  # A uid that no distribution assigns.
_ZONES = ("/usr/share/zoneinfo/Asia/Kathmandu", "/usr/share/zoneinfo/America/St_Johns")
_LOCALES = ("tr_TR.utf8", "de_DE.utf8", "fr_FR.utf8", "en_US.utf8", "C.utf8", "C")
_SANDBOX_MEMORY = 1 << 30  # Bytes that must be free in /dev/shm; what actions write is there until they end.
_FUTURE = "+400d"


class NotVariedError(Exception):
    """A variation that this host does not offer; the message is the reason."""


class Varied(NamedTuple):
    """A variation that was made.

    Attributes:
      name: the name of the variation.
      first: the value for the first build.
      second: the value for the second build.
      traces: texts that only one of the builds may write into a file, by the number of the build: 0 or 1.
    """

    name: str
    first: str
    second: str
    traces: tuple[str, str] = ("", "")


class NotVaried(NamedTuple):
    """A variation that was not made.

    Attributes:
      name: the name of the variation.
      reason: why not.
    """

    name: str
    reason: str


class Variation(NamedTuple):
    """An entry of the table.

    Attributes:
      name: its name, for --keep.
      description: what it changes, for --help.
      apply: changes the surroundings of the first and of the second build. It returns both values for the report, and raises
        NotVariedError if this host cannot do that.
    """

    name: str
    description: str
    apply: Callable[[Surroundings, Surroundings, Host], Varied]


def vary(first: Surroundings, second: Surroundings, host: Host, kept: Collection[str]) -> tuple[list[Varied], list[NotVaried]]:
    """Changes the surroundings of two builds.

    Args:
      first: the surroundings of the first build.
      second: those of the second build; its directory is empty.
      host: what the host offers.
      kept: the names of the variations that the user does not want.
    """
    varied, not_varied = [], []
    for variation in VARIATIONS:
        if variation.name in kept:
            not_varied.append(NotVaried(variation.name, "kept, as --keep says"))
            continue
        try:
            varied.append(variation.apply(first, second, host))
        except NotVariedError as error:
            not_varied.append(NotVaried(variation.name, str(error)))
    for surroundings in (first, second):
        if surroundings.strategies:
            surroundings.options.append("--spawn_strategy=" + ",".join(surroundings.strategies))
    return varied, not_varied


def _vary_output_base(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    second.output_base = os.path.join(second.directory, "another_output_base")
    return Varied("output-base", first.output_base, second.output_base, (first.output_base, second.output_base))


def _vary_workspace(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    path, pairs = list_mounts(first.workspace, os.path.join(second.directory, "workspace"))
    if host.mount_fault:
        copy_workspace(pairs)
        how = "a copy"
    else:
        make_mount_points(pairs)
        second.mounts += pairs
        how = "a bind mount"
    second.workspace = path
    return Varied("workspace", first.workspace, f"{path} ({how})", (first.workspace, path))


def _vary_user(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    if not host.is_root:
        raise NotVariedError("only root can become another user")
    names = {"USER": "another", "LOGNAME": "another"}
    if not runs([*make_user_command(_USER), host.bazel, "--version"], names):
        raise NotVariedError(f"uid {_USER} cannot run {host.bazel}")
    if not second.mounts:
        raise NotVariedError("it needs the variation workspace, by a bind mount")
    if path := find_unreadable(second.mounts):
        raise NotVariedError(f"other users may not read {path}")
    second.user = _USER
    second.environment |= names
    return Varied("user", f"uid {os.geteuid()}", f"uid {_USER}")


def _vary_home(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    home = os.path.join(second.directory, "home")
    os.makedirs(home)
    second.environment["HOME"] = home
    old = os.path.expanduser("~")
    rc = os.path.join(old, ".bazelrc")
    if os.path.isfile(rc):
        shutil.copyfile(rc, os.path.join(home, ".bazelrc"))  # Its flags are not what is varied.
        os.chmod(os.path.join(home, ".bazelrc"), 0o644)
    # The user's .bazelrc may name another directory, which a second user cannot write.
    second.startup_options.append(f"--output_user_root={home}/bazel")
    return Varied("home", old, home, ("", home))


def _vary_hostname(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    if host.uts_fault:
        raise NotVariedError(host.uts_fault)
    second.hostname = "another-host"
    old = os.uname().nodename
    return Varied("hostname", old, second.hostname, (old if len(old) > 5 else "", second.hostname))


def _vary_umask(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    """Changes the umask of the first build, because it has the workers: Bazel sets 022 for the processes of other actions."""
    current = os.umask(0)
    os.umask(current)
    first.umask = 0o077 if current != 0o077 else 0o022
    return Varied("umask", f"{first.umask:03o}", f"{current:03o}")


def _vary_time_zone(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    """Sets TZ, which reaches repository rules, and /etc/localtime, which reaches all actions."""
    old = os.environ.get("TZ") or os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2] or "as configured"
    zone = next((path for path in _ZONES if os.path.isfile(path)), "")
    if zone and os.path.isfile("/etc/localtime") and not host.mount_fault:
        second.environment["TZ"] = zone.partition("/zoneinfo/")[2]
        second.mounts.append((zone, os.path.realpath("/etc/localtime")))
        return Varied("time-zone", old, second.environment["TZ"])
    second.environment["TZ"] = "AAA-5:45"
    return Varied("time-zone", old, "AAA-5:45 (TZ only, which actions do not inherit)")


def _vary_locale(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    old = os.environ.get("LC_ALL") or os.environ.get("LANG") or "C"
    installed = {_normalize_locale(name) for name in host.locales} | {"c"}
    choice = next(name for name in _LOCALES if _normalize_locale(name) in installed - {_normalize_locale(old)})
    second.environment |= {"LANG": choice, "LC_ALL": choice}
    return Varied("locale", old, choice)


def _normalize_locale(name: str) -> str:
    return name.lower().replace("-", "")


def _vary_clock(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    if not host.faketime:
        raise NotVariedError("libfaketime is not installed; the builds are only some seconds apart")
    values = dict(zip(FAKETIME_VARIABLES, (host.faketime, _FUTURE, "1", "1"), strict=True))
    for option in ("action_env", "host_action_env"):
        second.options += [f"--{option}={name}={value}" for name, value in values.items()]
    return Varied("clock", "that of the host", "400 days later")


def _vary_jobs(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    jobs = 2 * (os.cpu_count() or 1) + 1
    second.options.append(f"--jobs={jobs}")
    return Varied("jobs", "as configured", str(jobs))


def _vary_workers(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    second.strategies = ["remote", "sandboxed", "local"]
    return Varied("workers", "persistent workers", "a process for each action")


def _vary_sandbox(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    first.strategies = ["remote", "worker", "local"]
    second.strategies = second.strategies or ["remote", "worker", "sandboxed", "local"]
    return Varied("sandbox", "none", "Bazel's sandbox")


def _vary_file_order(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    """Puts the sandboxes on a tmpfs, which lists the newest file of a directory first."""
    if not first.strategies:
        raise NotVariedError("it needs the variation sandbox")
    if not os.path.ismount("/dev/shm") or not os.access("/dev/shm", os.W_OK):
        raise NotVariedError("this host has no /dev/shm")
    status = os.statvfs("/dev/shm")
    free = status.f_bavail * status.f_frsize
    if free < _SANDBOX_MEMORY:
        raise NotVariedError(f"/dev/shm has {free >> 20} MiB free; it needs {_SANDBOX_MEMORY >> 20} MiB")
    second.sandbox_base = "/dev/shm/" + os.path.basename(os.path.dirname(second.directory))
    second.options.append(f"--sandbox_base={second.sandbox_base}")
    return Varied("file-order", "that of the output base", "sandboxes on a tmpfs, which lists new files first")


def _vary_cpus(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    cpus = host.cpus
    if len(cpus) < 2:
        raise NotVariedError("this host has one CPU" if cpus else "the CPUs of a process can be chosen only on Linux")
    second.cpus = cpus - {max(cpus)}
    return Varied("cpus", str(len(cpus)), str(len(second.cpus)))


def _vary_environment(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    second.environment["ANOTHER_VARIABLE"] = "of the second build"
    return Varied("environment", "as configured", "ANOTHER_VARIABLE is set")


def _vary_cache(first: Surroundings, second: Surroundings, host: Host) -> Varied:
    for surroundings in (first, second):
        surroundings.options += ["--disk_cache=", "--noremote_accept_cached", "--noremote_upload_local_results"]
    return Varied("cache", "off: every action runs", "off: every action runs")


VARIATIONS = (
    Variation("output-base", "Bazel's output base", _vary_output_base),
    Variation("workspace", "the path of the workspace: a bind mount, or a copy where mounting is not allowed", _vary_workspace),
    Variation("user", "the user that builds, if that is root", _vary_user),
    Variation("home", "HOME; it is an empty directory", _vary_home),
    Variation("hostname", "the name of the host, in a UTS namespace", _vary_hostname),
    Variation("umask", "the umask of workers and of repository rules; Bazel sets that of other actions", _vary_umask),
    Variation("time-zone", "TZ, and /etc/localtime where mounting is allowed", _vary_time_zone),
    Variation("locale", "LANG and LC_ALL", _vary_locale),
    Variation("clock", "the time that actions see, by libfaketime", _vary_clock),
    Variation("jobs", "--jobs", _vary_jobs),
    Variation("workers", "whether persistent workers run actions", _vary_workers),
    Variation("sandbox", "whether actions run in a sandbox", _vary_sandbox),
    Variation("file-order", "the order of the files in the sandboxes' directories", _vary_file_order),
    Variation("cpus", "the number of CPUs", _vary_cpus),
    Variation("environment", "an environment variable", _vary_environment),
    Variation("cache", "disk and remote caches: neither build uses them, because a cache would hide differences", _vary_cache),
)
"""The table of variations, in the order in which they are applied."""
