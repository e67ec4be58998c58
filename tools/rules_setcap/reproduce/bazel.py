"""Runs Bazel in the surroundings of one of the two builds."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.diagnostics.errors import InputError, format_problem, quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.reproduce.surroundings import Surroundings

# Prints the labels of targets that may be images: those of this repository by their provider, those of other rulesets by their
# output group, or because a directory is all that they make.
_IMAGE_QUERY = """\
def format(target):
    found = providers(target) or {}
    for name in found:
        if name.endswith("//rules:providers.bzl%ImageInfo") or name.endswith("//rules:providers.bzl%ImageIndexInfo"):
            return str(target.label)
    if hasattr(found.get("OutputGroupInfo"), "oci_layout"):
        return str(target.label)
    files = target.files.to_list()
    is_directory = len(files) == 1 and files[0].is_directory and not files[0].is_source
    return str(target.label) if is_directory else ""
"""


_LOG_FLAG = "--execution_log_compact_file"


class BuildError(InputError):
    """A build that failed, or a Bazel that could not be run."""


class Flags(NamedTuple):
    """Flags that the user adds to both builds.

    Attributes:
      startup: options before Bazel's command.
      options: options of the command build.
    """

    startup: Sequence[str]
    options: Sequence[str]


class Bazel:
    """Bazel in the surroundings of one build.

    Attributes:
      log: the path of the execution log.
      events: the path of the build events.
    """

    def __init__(self, program: str, surroundings: Surroundings, name: str, flags: Flags) -> None:
        """Prepares the commands.

        Args:
          program: the path of Bazel.
          surroundings: those of the build.
          name: what messages call the build.
          flags: the user's.
        """
        self._program, self._surroundings, self._name, self._flags = program, surroundings, name, flags
        self.log = os.path.join(surroundings.directory, "execution_log.zst")
        self.events = os.path.join(surroundings.directory, "build_events.json")

    def find_images(self, patterns: Sequence[str]) -> list[str]:
        """Returns the labels of the images that patterns such as //app/... match.

        Raises:
          BuildError: the targets cannot be analyzed.
        """
        file = os.path.join(self._surroundings.directory, "images.cquery")
        with open(file, "w", encoding="utf-8") as query:
            query.write(_IMAGE_QUERY)
        wanted = " + ".join(f"'{pattern}'" for pattern in patterns if not pattern.startswith("-"))
        expression = " - ".join([wanted, *(f"'{pattern[1:]}'" for pattern in patterns if pattern.startswith("-"))])
        output = self._run("cquery", [*self._list_options(), "--output=starlark", f"--starlark:file={file}", expression])
        return sorted({line for line in output.splitlines() if line})

    def build(self, targets: Sequence[str]) -> None:
        """Builds targets.

        Raises:
          BuildError: the build fails.
        """
        options = [f"{_choose_log_flag(self._program)}={self.log}", f"--build_event_json_file={self.events}"]
        # The last options, because those of the user may choose output groups too.
        self._run("build", [*self._list_options(), *options, "--output_groups=+oci_layout", "--", *targets])

    def read_info(self) -> dict[str, str]:
        """Returns what `bazel info` says."""
        lines = self._run("info", []).splitlines()
        return {key: value for key, separator, value in (line.partition(": ") for line in lines) if separator}

    def stop(self) -> None:
        """Stops the server."""
        with contextlib.suppress(BuildError):
            self._run("shutdown", [])

    def _list_options(self) -> list[str]:
        """Returns the options of the commands that analyze; bazel-bin stays as it is."""
        return ["--experimental_convenience_symlinks=ignore", *self._flags.options, *self._surroundings.options]

    def _run(self, command: str, arguments: Sequence[str]) -> str:
        """Runs a command of Bazel.

        Returns:
          Its stdout.

        Raises:
          BuildError: it fails. What it wrote to stderr has then been written to the stderr of this process.
        """
        surroundings = self._surroundings
        startup = [f"--output_base={surroundings.output_base}", "--max_idle_secs=60", *surroundings.startup_options]
        line = surroundings.wrap_command([self._program, *startup, *self._flags.startup, command, *arguments])
        is_watched = sys.stderr.isatty()
        try:
            done = subprocess.run(
                line,
                check=False,
                env=surroundings.make_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None if is_watched else subprocess.PIPE,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise BuildError([format_problem(self._name, line[0], f"cannot be run: {error.strerror}")]) from None
        if done.returncode:
            if not is_watched:
                sys.stderr.write(done.stderr)
            raise BuildError([f"{self._name}: bazel {command} failed with exit status {done.returncode}; its messages are above"])
        return done.stdout


def _choose_log_flag(program: str) -> str:
    """Returns the flag that makes Bazel write a compact execution log. The first releases of Bazel 7 call it experimental."""
    try:
        done = subprocess.run([program, "--version"], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError:
        return _LOG_FLAG
    match = re.match(r"bazel 7\.([0-6])\.", done.stdout)
    return _LOG_FLAG.replace("--", "--experimental_") if match else _LOG_FLAG


def find_bazel(program: str, workspace: str) -> str:
    """Returns the path of Bazel.

    Args:
      program: what the user wants; "" to use $BAZEL, bazelisk or bazel of PATH, or the bazelw of the workspace.
      workspace: the path of the workspace.

    Raises:
      BuildError: no Bazel was found.
    """
    for source, name in (("--bazel", program), ("BAZEL", os.environ.get("BAZEL", ""))):
        if name:
            path = shutil.which(name)
            if not path:
                raise BuildError([format_problem(source, name, "no such program; write the path of a Bazel")])
            return os.path.abspath(path)
    for name in ("bazelisk", "bazel", os.path.join(workspace, "bazelw")):
        if path := shutil.which(name):
            return os.path.abspath(path)
    raise BuildError(
        [f"no Bazel: there is no bazelisk or bazel on PATH ({quote(os.environ.get('PATH', ''))}); write --bazel=PROGRAM"]
    )
