"""The surroundings of one of the two builds, and the commands that make them."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


FAKETIME_VARIABLES = ("LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT")
"""The environment variables that make libfaketime change the time that a program sees."""


# The variables of Bazel's tests. With TEST_TMPDIR, Bazel would take itself for one that is tested.
_OF_TESTS = ("BAZEL_TEST", "BUILD_", "GTEST_", "JAVA_RUNFILES", "PYTHON_RUNFILES", "RUNFILES_", "TEST_", "XML_OUTPUT_FILE")


@dataclass(slots=True)
class Surroundings:
    """The surroundings of a build. If a field is None or empty, the build inherits that from this program.

    Attributes:
      directory: the directory that belongs to this build.
      output_base: Bazel's output base.
      workspace: the path of the workspace.
      startup_options: options before Bazel's command.
      options: options of Bazel's commands build and cquery.
      strategies: the spawn strategies, the preferred one first; [] for the user's own.
      environment: environment variables that are set.
      umask: the umask.
      cpus: the CPUs that the build may use.
      hostname: the host name, in a UTS namespace.
      mounts: directories and files that are mounted at other paths, in a mount namespace: source and mount point.
      user: the uid, which is also the gid, of the user that builds.
      sandbox_base: the directory that is made for sandboxes.
    """

    directory: str
    output_base: str
    workspace: str
    startup_options: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    strategies: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    umask: int | None = None
    cpus: set[int] | None = None
    hostname: str | None = None
    mounts: list[tuple[str, str]] = field(default_factory=list)
    user: int | None = None
    sandbox_base: str = ""

    def wrap_command(self, command: Sequence[str]) -> list[str]:
        """Returns the command line that runs a command in these surroundings, except for the working directory."""
        lines = []
        if self.umask is not None:
            lines.append(f"umask {self.umask:03o}")
        if self.cpus is not None:
            cpus = ",".join(map(str, sorted(self.cpus)))
            lines.append(f"taskset --pid --cpu-list {cpus} $$ >/dev/null")
        namespaced = [f"mount --bind {shlex.quote(source)} {shlex.quote(target)}" for source, target in self.mounts]
        if self.hostname is not None:
            namespaced.append(f"hostname {shlex.quote(self.hostname)}")
        # The directory is entered after the mounts, so that it is the mounted one.
        lines = ["set -e", *namespaced, f"cd {shlex.quote(self.workspace)}", *lines]
        become = [] if self.user is None else make_user_command(self.user)
        prefix = []
        if namespaced:
            flags = [*(["--mount"] if self.mounts else []), *(["--uts"] if self.hostname is not None else [])]
            if os.geteuid() == 0:
                prefix = ["unshare", *flags, "--propagation=private"] if self.mounts else ["unshare", *flags]
            else:
                # Only the root user of a user namespace may mount. The build gets its own uid back.
                prefix = ["unshare", "--user", "--map-root-user", *flags]
                become = ["unshare", "--user", f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}"]
        script = "\n".join([*lines, 'exec "$@"'])
        return [*prefix, "sh", "-c", script, "sh", *become, *command]

    def make_environment(self) -> dict[str, str]:
        """Returns the environment variables of the commands."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OF_TESTS)}
        inherited.setdefault("HOME", os.path.expanduser("~"))
        return {**inherited, **self.environment}


def make_user_command(user: int) -> list[str]:
    """Returns the beginning of a command line that runs as another user, without the groups of this one."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]


def find_workspace(environment: Mapping[str, str]) -> str:
    """Returns the workspace of the Bazel that runs this program; "" if it is not known.

    `bazel run` tells it. A test that runs outside the sandbox is below the output base, which has a file with the path.

    Args:
      environment: the environment variables of this process.
    """
    if workspace := environment.get("BUILD_WORKSPACE_DIRECTORY"):
        return workspace
    directory = os.path.abspath(environment.get("TEST_SRCDIR", "/"))
    while directory != "/":
        directory = os.path.dirname(directory)
        file = os.path.join(directory, "DO_NOT_BUILD_HERE")
        if os.path.isfile(file):
            with open(file, encoding="utf-8") as text:
                workspace = text.read().strip()
            return workspace if os.path.isdir(workspace) else ""
    return ""
