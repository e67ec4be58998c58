"""The programs that a release runs: clients for registries, hooks, Bazel. They end with the release."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from typing import IO, TYPE_CHECKING, NamedTuple

from rules_setcap.delivery.errors import InterruptedReleaseError
from rules_setcap.diagnostics.programs import MIN_RATE, Program, read_end

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Outcome(NamedTuple):
    """What a client has done.

    Attributes:
      status: its exit code.
      output: the bytes on its standard output.
      messages: the end of its standard error.
    """

    status: int
    output: bytes
    messages: str


class RunningPrograms:
    """Runs programs, in several threads. One that hangs is ended, and raises HangingError.

    Attributes:
      limit: the longest time without progress, in seconds.
    """

    def __init__(self, limit: float) -> None:
        """Creates an instance."""
        self.limit = limit
        self._lock = threading.Lock()
        self._programs: set[Program] = set()
        self._is_stopped = False

    def run(
        self,
        command: Sequence[str],
        *,
        stdout: int | IO[bytes] | IO[str] | None = None,
        stderr: IO[bytes] | None = None,
        directory: str | None = None,
        environment: Mapping[str, str] | None = None,
        limit: float | None = None,
        total: bool = False,
        rate: float = MIN_RATE,
    ) -> int:
        """Runs a program, and returns its exit code.

        Args:
          command: its path and its arguments.
          stdout: as for subprocess.Popen.
          stderr: as for subprocess.Popen.
          directory: its working directory; None for that of this process.
          environment: its environment variables; None for those of this process.
          limit: as for Program; None for that of this object.
          total: as for Program.
          rate: as for Program.

        Raises:
          HangingError: it hung, or took too long.
          InterruptedReleaseError: the release has been interrupted.
          OSError: it cannot be started.
        """
        with self._lock:
            if self._is_stopped:
                raise InterruptedReleaseError("interrupted")
            program = Program(
                command,
                self.limit if limit is None else limit,
                stdout=stdout,
                stderr=stderr,
                directory=directory,
                environment=environment,
                total=total,
                rate=rate,
            )
            self._programs.add(program)
        with self._forget(program), program:
            return program.wait()

    def call(self, command: Sequence[str], directory: str | None, limit: float | None = None) -> Outcome:
        """Runs a client whose output is read; errors are those of run().

        Args:
          command: its path and its arguments.
          directory: a directory for temporary files; None for that of the system.
          limit: as for run().
        """
        with tempfile.TemporaryFile(dir=directory) as output, tempfile.TemporaryFile(dir=directory) as messages:
            status = self.run(command, stdout=output, stderr=messages, limit=limit)
            output.seek(0)
            return Outcome(status, output.read(), read_end(messages))

    def stop(self) -> None:
        """Begins to end all programs; no other can be started."""
        with self._lock:
            self._is_stopped = True
            for program in self._programs:
                program.stop()

    @contextlib.contextmanager
    def _forget(self, program: Program) -> Iterator[None]:
        try:
            yield
        finally:
            with self._lock:
                self._programs.discard(program)
        if self._is_stopped:
            raise InterruptedReleaseError("interrupted")
