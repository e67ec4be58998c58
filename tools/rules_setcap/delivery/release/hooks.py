"""Runs the programs that sign images, or attach documents to them, after the push and before the tags."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rules_setcap.delivery.errors import DeliveryError
from rules_setcap.diagnostics.programs import HangingError

if TYPE_CHECKING:
    from rules_setcap.delivery.release.running_programs import RunningPrograms


@dataclass(frozen=True, slots=True)
class Hook:
    """A program that runs on each pushed image.

    Attributes:
      name: its label or path, for messages.
      path: the path of the program.
      runfiles: the path of its runfiles directory; "" if Bazel has not built it.
    """

    name: str
    path: str
    runfiles: str = ""

    def run(self, reference: str, programs: RunningPrograms) -> None:
        """Runs the program.

        Args:
          reference: the only argument, repository@digest.
          programs: runs it.

        Raises:
          DeliveryError: it fails, or takes too long.
        """
        environment = {**os.environ, "RUNFILES_DIR": self.runfiles} if self.runfiles else None
        command = [self.path, reference]
        try:
            status = programs.run(command, stdout=sys.stderr, environment=environment, total=True)
        except HangingError as error:
            raise DeliveryError(f"hook {self.name} {reference}: it {error}; --timeout sets this limit") from None
        except OSError as error:
            raise DeliveryError(f"hook {self.name}: cannot be started: {error.strerror}") from None
        if status:
            raise DeliveryError(f"hook {self.name} {reference}: exit code {status}")


def find_hook(text: str) -> Hook:
    """Returns the hook of the flag --hook.

    Args:
      text: the name of a program on PATH, or a path relative to the user's directory.

    Raises:
      ValueError: the program does not exist, or is not executable; the message is a sentence.
    """
    # `bazel run` starts this program in its runfiles.
    path = shutil.which(os.path.join(os.environ.get("BUILD_WORKING_DIRECTORY", ""), text) if os.sep in text else text)
    if path is None:
        raise ValueError("is not an executable file; give the path of a program, or the name of one on PATH")
    return Hook(text, os.path.abspath(path))
