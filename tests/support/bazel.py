"""A workspace that uses rules_setcap as its users do, built by the real Bazel."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
from typing import Sequence

from support import require

_OFFLINE = pathlib.Path("/usr/share/rules_setcap/workspace.bazelrc")


class Workspace:
    """A consumer's workspace beside a copy of rules_setcap, which is all it can load."""

    def __init__(self, directory: pathlib.Path, *, module: bool = True, user: int | None = None) -> None:
        """Copies both.

        Args:
          directory: where to; both become folders of it.
          module: whether there is a MODULE.bazel; else a WORKSPACE.
          user: who builds, by uid; the caller if None.
        """
        self._bazel = shutil.which("bazel") or require.tool("bazelisk")
        self._module = module
        self._user = user
        self._home = directory / "home"
        self.directory = directory / "consumer"
        for folder in (self._home, self.directory):
            folder.mkdir(parents=True)
        # What MODULE.bazel's archive would hold: //:distribution, from the runfiles.
        for name in os.environ["DISTRIBUTION"].split():
            target = directory / "rules_setcap" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, target)
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

    def run(self, command: str, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs Bazel.

        Args:
          command: build, query, ...
          *args: its arguments.
          check: whether a failure of Bazel fails the test.

        Returns: what it printed; stderr without progress.
        """
        become: Sequence[str] = ()
        if self._user is not None:
            become = (require.tool("setpriv"), f"--reuid={self._user}", f"--regid={self._user}", "--clear-groups")
        startup = [f"--output_user_root={self._home}/bazel", "--max_idle_secs=20"]
        if not self._module and _OFFLINE.exists():
            startup.append(f"--bazelrc={_OFFLINE}")
        options = ["--lockfile_mode=off", "--color=no", "--curses=no", "--noshow_progress"]
        done = subprocess.run(
            [*become, self._bazel, *startup, command, *options, *args],
            cwd=self.directory,
            env={"HOME": str(self._home), "PATH": os.environ["PATH"], "USER": "consumer"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    def output(self, name: str) -> pathlib.Path:
        """The path of an output below bazel-bin."""
        return self.directory / "bazel-bin" / name
