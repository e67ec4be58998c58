"""Runs a program on a hostile input and measures its time and memory.

As a program, `measure.py SECONDS COMMAND...` runs the command and prints a JSON object of `status`, `seconds`, `processor`
and `memory`. It is a process of its own because a child's largest resident set counts from its fork on, when it is its
parent's.
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
_HANG = 150  # Seconds of wall clock, on machines that do much else.
_MOST = 1 << 20  # Bytes of output that are looked at.


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
      status: exit status; negative for a signal.
      seconds: of the wall clock.
      processor: seconds of processor time: what is held against the limit, because other tests run beside this one.
      memory: bytes, the largest resident set of the program.
      messages: the start of what it wrote to stderr.
      faults: why this is not good, a sentence each; empty if it is.
    """

    status: int
    seconds: float
    processor: float
    memory: int
    messages: str
    faults: tuple[str, ...]


def run(command: Sequence[str], directory: pathlib.Path, statuses: Sequence[int]) -> Outcome:
    """Runs a command.

    Args:
      command: the program and its arguments.
      directory: working directory; what the program prints is left there.
      statuses: exit statuses that the program documents.
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
    printed = {name: (directory / name).read_bytes()[:_MOST] for name in ("stdout", "stderr")}
    if b"Traceback" in printed["stderr"] or b"internal error" in printed["stderr"]:
        faults.append("an internal error")
    for name, data in printed.items():
        if any(byte < 32 and byte != 10 or byte == 127 for byte in data):
            faults.append(f"control characters on {name}")
    messages = printed["stderr"].decode("utf-8", "replace")[:1000]
    return Outcome(measured["status"], measured["seconds"], measured["processor"], measured["memory"], messages, tuple(faults))


def _main(seconds: float, command: Sequence[str]) -> None:
    start = time.monotonic()
    with open("stdout", "wb") as stdout, open("stderr", "wb") as stderr:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)

    def end(*_: object) -> None:
        os.kill(process.pid, signal.SIGKILL)

    signal.signal(signal.SIGALRM, end)
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
    _main(float(sys.argv[1]), sys.argv[2:])
