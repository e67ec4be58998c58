"""Runs other programs with a limit of time: one that hangs is ended, with all processes that it has started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from typing import IO, TYPE_CHECKING

from rules_setcap.diagnostics.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import NoReturn, Self

IDLE_LIMIT = 600
"""The default limit, in seconds: a registry may take minutes to store a large layer, in which its client waits."""
MIN_RATE = 1000
"""Bytes a second that a program reads and writes at least while it makes progress."""
_GRACE = 5.0
"""The time that processes have to end after SIGTERM, in seconds."""
_KEPT_OUTPUT, _SHOWN_LINES = 1 << 16, 3
"""Bytes at the end of what a program has printed that are read, and lines of them that a message has."""


class HangingError(Exception):
    """A program has been ended because it hung; the message is the end of a sentence that begins with its name."""


class Program:
    """A program that runs, in a session of its own. It is ended if it hangs, or when the `with` block ends."""

    def __init__(
        self,
        command: Sequence[str],
        limit: float,
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[bytes] | IO[str] | None = None,
        stderr: int | IO[bytes] | None = None,
        directory: str | None = None,
        environment: Mapping[str, str] | None = None,
        rate: float = MIN_RATE,
        total: bool = False,
    ) -> None:
        """Starts a program.

        Args:
          command: its path, and its arguments.
          limit: the longest time without progress, in seconds. Where the kernel does not count the bytes that a process reads and
            writes, it is the longest time of all.
          stdin: as for subprocess.Popen; nothing by default.
          stdout: as for subprocess.Popen.
          stderr: as for subprocess.Popen.
          directory: its working directory; None for that of this process.
          environment: its environment variables; None for those of this process.
          rate: bytes a second that it reads and writes at least while it makes progress; 0 if each byte is progress.
          total: whether `limit` is the longest time of all.

        Raises:
          OSError: it cannot be started.
        """
        self._limit, self._needed = limit, max(1.0, rate * limit)
        self._counter = None if total else _Counter.create()
        self._is_hanging = self._is_stopped = False
        self._wake, self._exited = threading.Event(), threading.Event()
        self.process = subprocess.Popen(
            list(command), stdin=stdin, stdout=stdout, stderr=stderr, cwd=directory, env=environment, start_new_session=True
        )
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def __enter__(self) -> Self:
        """Returns the program."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends the program, if it still runs, and closes the pipe from it."""
        if not self._exited.is_set():
            self.stop()
            self._wait()
        if self.process.stdout:
            self.process.stdout.close()

    def wait(self) -> int:
        """Waits for the end of the program, and returns its exit code.

        Raises:
          HangingError: it hung.
        """
        status = self._wait()
        if self._is_hanging:
            if self._counter:
                raise HangingError(f"made no progress for {self._limit:g} s and was ended")
            raise HangingError(f"took more than {self._limit:g} s and was ended")
        return status

    def stop(self) -> None:
        """Begins to end the program, and does not wait for its end."""
        self._is_stopped = True
        self._wake.set()

    def _wait(self) -> int:
        status = self.process.wait()
        self._exited.set()
        self._wake.set()
        self._watcher.join()
        return status

    def _watch(self) -> None:
        """Waits until the program ends, hangs or is stopped."""
        interval = max(0.1, min(5.0, self._limit / 5))
        began, seen = time.monotonic(), 0
        while not self._wake.wait(interval):
            now = time.monotonic()
            count = self._counter.count(self.process.pid) if self._counter else 0
            if count - seen >= self._needed:
                began, seen = now, count
            elif now - began >= self._limit:
                self._is_hanging = True
                break
        if self._is_hanging or self._is_stopped:
            self._signal(signal.SIGTERM)
            self._exited.wait(_GRACE)
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        """Sends a signal to the program and what it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


class _Counter:
    """The number of bytes that the processes of a session have read and written, of files, pipes and connections."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._total = 0

    @classmethod
    def create(cls) -> _Counter | None:
        """Returns a counter; None if the kernel does not count."""
        return cls() if os.path.exists("/proc/self/io") else None

    def count(self, session: int) -> int:
        """Returns the number so far.

        Args:
          session: the ID of the session, which is that of its first process.
        """
        for process in filter(str.isdecimal, os.listdir("/proc")):
            with contextlib.suppress(OSError, ValueError, IndexError):  # The process may have ended in the meantime.
                with open(f"/proc/{process}/stat", "rb") as file:
                    # proc_pid_stat(5): the name is in parentheses, and may have any characters.
                    fields = file.read().rpartition(b")")[2].split()
                if int(fields[3]) != session:
                    continue
                with open(f"/proc/{process}/io", "rb") as file:
                    # proc_pid_io(5): rchar and wchar.
                    count = sum(int(line.split()[1]) for line in file.readlines()[:2])
                self._total += max(0, count - self._counts.get(process, 0))
                self._counts[process] = count
        return self._total


def run_limited(
    command: Sequence[str],
    limit: float,
    *,
    stdout: int | IO[bytes] | IO[str] | None = None,
    rate: float = MIN_RATE,
    total: bool = False,
) -> int:
    """Runs a program, and returns its exit code; arguments and errors are those of Program. Call it in the main thread."""
    interrupt_on_signals()
    with Program(command, limit, stdout=stdout, rate=rate, total=total) as program:
        return program.wait()


def read_end(file: IO[bytes]) -> str:
    """Returns the end of what a program has written to a file."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), _KEPT_OUTPUT, max(0, size - _KEPT_OUTPUT)).decode(errors="replace")


def format_last_lines(text: str) -> str:
    """Returns the last lines of what a program has printed as one printable line; "" if there are none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(printable(line[:2000]) for line in lines[-_SHOWN_LINES:])


def interrupt_on_signals() -> None:
    """Has SIGTERM and SIGHUP raise KeyboardInterrupt, so that this process ends the programs that it runs; they get no signal."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
