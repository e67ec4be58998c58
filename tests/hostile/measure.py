"""Runs a program on a hostile input and measures its time and memory.

As a program, `measure.py SECONDS COMMAND...` runs the command and prints a JSON object of `status`, `seconds`, `processor` and
`memory`. This needs a small process of its own, because the largest resident set of a child includes that of its parent at the
time of the fork.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

SECONDS, MEMORY = 30, 256 << 20
_HANG = 150  # The limit of the wall clock in seconds, for busy machines.
_MAX_OUTPUT = 1 << 20  # The bytes of an output that are checked.


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
      status: the exit status; negative for a signal.
      seconds: the time by the wall clock.
      processor: the processor time in seconds. The limit is for this time, because other tests run at the same time.
      memory: the largest resident set of the program in bytes.
      messages: the start of its stderr.
      faults: why the outcome is bad, one phrase each; empty if it is good.
    """

    status: int
    seconds: float
    processor: float
    memory: int
    messages: str
    faults: tuple[str, ...]


def measure_run(command: Sequence[str], directory: pathlib.Path, statuses: Sequence[int]) -> Outcome:
    """Runs a command and judges the outcome.

    Args:
      command: the program and its arguments.
      directory: the working directory, which gets the files `stdout` and `stderr`.
      statuses: the exit statuses that the program documents.
    """
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": str(directory)}
    launcher = [sys.executable, "-S", "-E", os.path.abspath(__file__), str(_HANG), *command]
    done = subprocess.run(launcher, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=True)
    measured = json.loads(done.stdout)
    faults = []
    if measured["seconds"] >= _HANG or measured["processor"] > SECONDS:
        faults.append(f"takes {measured['processor']:.0f} s of processor time, {measured['seconds']:.0f} s in all")
    if measured["memory"] > MEMORY:
        faults.append(f"takes {measured['memory'] >> 20} MiB")
    if measured["status"] not in statuses:
        faults.append(f"exit status {measured['status']}")
    printed = {name: (directory / name).read_bytes()[:_MAX_OUTPUT] for name in ("stdout", "stderr")}
    if b"Traceback" in printed["stderr"] or b"internal error" in printed["stderr"]:
        faults.append("an internal error")
    for name, data in printed.items():
        if any((byte < 32 and byte != 10) or byte == 127 for byte in data):
            faults.append(f"control characters on {name}")
    messages = printed["stderr"].decode("utf-8", "replace")[:1000]
    return Outcome(measured["status"], measured["seconds"], measured["processor"], measured["memory"], messages, tuple(faults))


def _run_child(seconds: float, command: Sequence[str]) -> None:
    start = time.monotonic()
    with open("stdout", "wb") as stdout, open("stderr", "wb") as stderr:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)

    def kill(*_: object) -> None:
        os.kill(process.pid, signal.SIGKILL)

    signal.signal(signal.SIGALRM, kill)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    _, status, usage = os.wait4(process.pid, 0)
    json.dump(
        {
            "status": os.waitstatus_to_exitcode(status),
            "seconds": time.monotonic() - start,
            "processor": usage.ru_utime + usage.ru_stime,
            "memory": usage.ru_maxrss << 10,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    _run_child(float(sys.argv[1]), sys.argv[2:])
