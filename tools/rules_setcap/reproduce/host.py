"""Finds out which variations of a build this host allows."""

from __future__ import annotations

import functools
import glob
import os
import shutil
import subprocess

_TIMEOUT = 20  # Seconds; each probe takes less than one.


class Host:
    """The programs and rights of this host. Each is looked up once, when it is first needed.

    Attributes:
      bazel: the path of Bazel.
      is_root: whether the program runs as root.
    """

    def __init__(self, bazel: str) -> None:
        """Looks at nothing yet."""
        self.bazel = bazel
        self.is_root = os.geteuid() == 0

    @functools.cached_property
    def mount_fault(self) -> str:
        """The reason why no mount namespace can be had; "" if it can."""
        return self._try_namespace("--mount", "a mount namespace")

    @functools.cached_property
    def uts_fault(self) -> str:
        """The reason why no UTS namespace can be had; "" if it can."""
        if not shutil.which("hostname"):
            return "the program hostname is not installed"
        return self._try_namespace("--uts", "a UTS namespace")

    def _try_namespace(self, flag: str, description: str) -> str:
        if not shutil.which("unshare"):
            return "the program unshare is not installed"
        user = [] if self.is_root else ["--user", "--map-root-user"]
        done = runs(["unshare", *user, flag, "true"])
        return (
            ""
            if done
            else f"this host allows {description} only to root"
            if not self.is_root
            else f"{description} is not allowed here"
        )

    @functools.cached_property
    def cpus(self) -> set[int]:
        """The CPUs that this process may use; empty if the host does not let it choose."""
        return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") and shutil.which("taskset") else set()

    @functools.cached_property
    def faketime(self) -> str:
        """The path of libfaketime; "" if it is not installed."""
        patterns = (
            "/usr/lib/*/faketime/libfaketime.so.1",
            "/usr/lib*/faketime/libfaketime.so.1",
            "/usr/local/lib/faketime/libfaketime.so.1",
        )
        return next((path for pattern in patterns for path in sorted(glob.glob(pattern))), "")

    @functools.cached_property
    def locales(self) -> list[str]:
        """The names of the installed locales."""
        try:
            done = subprocess.run(["locale", "-a"], check=False, capture_output=True, text=True, timeout=_TIMEOUT)
        except (OSError, subprocess.SubprocessError):
            return []
        return done.stdout.split()


def runs(command: list[str], environment: dict[str, str] | None = None) -> bool:
    """Returns whether a command succeeds.

    Args:
      command: the command line, which may begin with make_user_command().
      environment: environment variables that it gets besides those of this process.
    """
    try:
        done = subprocess.run(
            command,
            check=False,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            timeout=_TIMEOUT,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
