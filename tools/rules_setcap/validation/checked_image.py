"""The image that programs are checked in."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rules_setcap.oci.merged_contents import MergedContents

# The PATH that container runtimes set if the image sets none.
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CheckedImage:
    """The files and the config of an image.

    Attributes:
      merged: the merged root filesystem.
      os: the operating system, as GOOS has it.
      architecture: the architecture, as GOARCH has it.
      argv: the command that a container executes: entrypoint and cmd.
      user: the user of the config; "" if there is none.
      path: the environment variable PATH.
    """

    def __init__(self, config: Mapping[str, Any], merged: MergedContents) -> None:
        """Reads the config of an image.

        Args:
        config: the config of the image.
        merged: its merged root filesystem.
        """
        execution = config.get("config") or {}
        self.merged = merged
        self.os: str = config.get("os", "")
        self.architecture: str = config.get("architecture", "")
        self.argv: list[str] = [*(execution.get("Entrypoint") or ()), *(execution.get("Cmd") or ())]
        self.user: str = execution.get("User") or ""
        environment = dict(text.partition("=")[::2] for text in execution.get("Env") or ())
        self.path: str = environment.get("PATH") or _DEFAULT_PATH
        self._working_directory = execution.get("WorkingDir") or "/"

    @property
    def runs_as_root(self) -> bool:
        """Whether the user of the config is root, by name or by number."""
        return self.user.partition(":")[0] in ("", "0", "root")

    def find_program(self, name: str) -> str:
        """Returns the path of the file that a container runtime executes for a name, as execvpe(3); "" if there is none."""
        if "/" in name:
            return self.merged.find_file(posixpath.join(self._working_directory, name))
        for directory in self.path.split(":"):
            if path := self.merged.find_file(posixpath.join(self._working_directory, directory, name)):
                return path
        return ""
