"""Builds workspaces that use rules_setcap as its users do, with the real Bazel."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from typing import Any

from support import require

_OFFLINE = pathlib.Path("/usr/share/rules_setcap/workspace.bazelrc")

# The flag that makes Bazel build the OCI layout directories of images too.
LAYOUTS = "--output_groups=+oci_layout"

_INTERPRETER = """\
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

py_runtime(
    name = "runtime",
    files = glob(["lib/**"], exclude = ["**/* *"]),
    interpreter = "bin/python",
    python_version = "PY3",
    stub_shebang = "#!/usr/bin/env python3",
)

py_runtime_pair(name = "pair", py3_runtime = ":runtime")

toolchain(name = "toolchain", toolchain = ":pair", toolchain_type = "@rules_python//python:toolchain_type")
"""

_POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: app
spec:
  containers:
  - name: app
    image: app
    securityContext:
      runAsUser: 65532
      capabilities:
        drop: [ALL]
        add: [NET_BIND_SERVICE, NET_RAW, BPF]
"""


def copy_distribution(directory: pathlib.Path) -> None:
    """Copies the files of the release archive: //:distribution, from the runfiles."""
    for name in os.environ["DISTRIBUTION"].split():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(name, target)


class Project:
    """A workspace, and the home directory of the user who builds it."""

    def __init__(self, directory: pathlib.Path, home: pathlib.Path, *, module: bool = True, user: int | None = None) -> None:
        """Makes the two directories, if they do not exist.

        Args:
          directory: the workspace.
          home: the home directory, which also has what Bazel builds.
          module: whether the workspace has a MODULE.bazel; else it has a WORKSPACE.
          user: the uid that builds; None for that of the test.
        """
        self._bazel = shutil.which("bazel") or require.tool("bazelisk")
        self._module = module
        self._user = user
        self._home = home
        self.directory = directory
        for folder in (home, directory):
            folder.mkdir(parents=True, exist_ok=True)

    def run(
        self,
        command: str,
        *args: str,
        check: bool = True,
        timeout: float = 600,
        environment: Mapping[str, str] = {},
        umask: int = -1,
    ) -> subprocess.CompletedProcess[str]:
        """Runs Bazel.

        Args:
          command: the command, such as build or query.
          *args: the arguments of the command.
          check: whether a failure of Bazel fails the test.
          timeout: the limit in seconds.
          environment: variables besides HOME, PATH and USER.
          umask: the file mode creation mask; -1 for that of the test.

        Returns:
          The finished process; its stderr has no progress messages.
        """
        become: Sequence[str] = ()
        if self._user is not None:
            become = (require.tool("setpriv"), f"--reuid={self._user}", f"--regid={self._user}", "--clear-groups")
        startup = [f"--output_user_root={self._home}/bazel", "--max_idle_secs=20"]
        if not self._module and _OFFLINE.exists():
            startup.append(f"--bazelrc={_OFFLINE}")
        options = ["--lockfile_mode=off", "--color=no", "--curses=no", "--noshow_progress"]
        try:
            done = subprocess.run(
                [*become, self._bazel, *startup, command, *options, *args],
                cwd=self.directory,
                env={"HOME": str(self._home), "PATH": os.environ["PATH"], "USER": "consumer", **environment},
                umask=umask,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            error.add_note((error.stderr or b"").decode(errors="replace"))
            raise
        if check:
            assert done.returncode == 0, done.stderr
        return done

    def list_release_flags(self, build_flags: Sequence[str]) -> list[str]:
        """Returns the flags with which the program of image_release runs Bazel as run() does.

        Args:
          build_flags: the flags of the build.
        """
        command = f"{self._bazel} --output_user_root={self._home}/bazel --max_idle_secs=20"
        return [f"--bazel={command}", *(f"--build-flag={flag}" for flag in ("--lockfile_mode=off", *build_flags))]

    def stop(self) -> None:
        """Stops the server of Bazel, also if it still runs a command whose timeout has passed."""
        try:
            self.run("shutdown", timeout=20)
        except subprocess.TimeoutExpired:
            for file in self._home.glob("bazel/*/server/server.pid.txt"):
                os.kill(int(file.read_text()), signal.SIGKILL)

    def output(self, name: str) -> pathlib.Path:
        """Returns the path of an output in bazel-bin."""
        return self.directory / "bazel-bin" / name


class Workspace(Project):
    """The workspace of a user, beside a copy of the files of rules_setcap that users get."""

    def __init__(self, directory: pathlib.Path, *, module: bool = True, user: int | None = None) -> None:
        """Makes the workspace and the copy.

        Args:
          directory: the directory that gets both.
          module: whether the workspace has a MODULE.bazel; else it has a WORKSPACE.
          user: the uid that builds; None for that of the test.
        """
        super().__init__(directory / "consumer", directory / "home", module=module, user=user)
        copy_distribution(directory / "rules_setcap")
        consumer = pathlib.Path("tests/integration/consumer")
        self.write("hello.c", (consumer / "hello.c").read_text())
        self.write("BUILD.bazel", (consumer / "BUILD.consumer").read_text())
        name = "MODULE" if module else "WORKSPACE"
        self.write(f"{name}.bazel", (consumer / f"{name}.consumer").read_text())
        if user is not None:
            require.root()
            for path in (directory, *directory.rglob("*")):
                os.chown(path, user, user)

    def write(self, name: str, text: str) -> None:
        """Writes a file of the workspace."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if self._user is not None:
            os.chown(path, self._user, self._user)

    def write_every(self) -> None:
        """Writes //every, which has every action that no configuration changes."""
        self.write("every/BUILD.bazel", pathlib.Path("tests/integration/consumer/BUILD.every").read_text())
        self.write("every/ko.yaml", "builds:\n- linux_capabilities: [net_bind_service]\n")
        self.write("every/pod.yaml", _POD)
        self.write("every/other.yaml", _POD.replace("image: app", "image: other"))

    def write_links(self) -> None:
        """Writes //links, whose layers have links of every kind."""
        consumer = pathlib.Path("tests/integration/consumer")
        self.write("links/BUILD.bazel", (consumer / "BUILD.links").read_text())
        self.write("links/links.bzl", (consumer / "links.bzl").read_text())

    def write_interpreter(self) -> tuple[str, int]:
        """Copies this interpreter and its library into the workspace, so that they are inputs as those of rules_python are.

        Returns:
          The label of a toolchain, for --extra_toolchains, and the number of files.
        """
        directory = self.directory / "interpreter"
        library = pathlib.Path(sysconfig.get_path("stdlib"))
        ignore = shutil.ignore_patterns("__pycache__", "test", "site-packages", "dist-packages")
        shutil.copytree(library, directory / "lib" / library.name, ignore=ignore)
        (directory / "bin").mkdir()
        shutil.copy(os.path.realpath(sys.executable), directory / "bin" / "python")
        files = sum(len(names) for _, _, names in os.walk(directory))
        self.write("interpreter/BUILD.bazel", _INTERPRETER)
        # The type of the toolchain is that of rules_python.
        module = (self.directory / "MODULE.bazel").read_text()
        self.write("MODULE.bazel", module + 'bazel_dep(name = "rules_python", version = "1.7.0")\n')
        return "//interpreter:toolchain", files


def read_actions(log: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the actions of rules_setcap in a file of --execution_log_json_file."""
    actions = []
    decoder, rest = json.JSONDecoder(), log.read_text()
    while rest := rest.lstrip():
        spawn, end = decoder.raw_decode(rest)
        rest = rest[end:]
        if spawn["mnemonic"].startswith("Setcap"):
            actions.append(spawn)
    return actions
