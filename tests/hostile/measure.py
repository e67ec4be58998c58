"""Runs a program on a hostile input and measures its time and memory."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

SECONDS, MEMORY = 30, 256 << 20
_LINES = 40  # Of a program's messages; all problems are printed, and some inputs have thousands.


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
      status: exit status; negative of a signal.
      seconds: wall clock.
      memory: bytes, the largest resident set of the program.
      messages: the start of what it wrote to stderr.
      faults: why this is not good, a sentence each; empty if it is.
    """

    status: int
    seconds: float
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
    errors = directory / "stderr"
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": str(directory)}
    start = time.monotonic()
    with open(directory / "stdout", "wb") as stdout, open(errors, "wb") as stderr:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environment)
    # wait4 has no timeout; a signal of ours ends what takes too long.
    late = False
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - start > 2 * SECONDS:
            late = True
            os.kill(process.pid, signal.SIGKILL)
            pid, status, usage = os.wait4(process.pid, 0)
            break
        time.sleep(0.01)
    seconds = time.monotonic() - start
    process.returncode = code = os.waitstatus_to_exitcode(status)
    memory = usage.ru_maxrss << 10
    with open(errors, "rb") as stream:
        raw = stream.read(1 << 20)
    faults = []
    if late or seconds > SECONDS:
        faults.append(f"takes {seconds:.0f} s")
    if memory > MEMORY:
        faults.append(f"takes {memory >> 20} MiB")
    if code not in statuses:
        faults.append(f"exit status {code}")
    if b"Traceback" in raw or b"internal error" in raw:
        faults.append("an internal error")
    with open(directory / "stdout", "rb") as stream:
        printed = stream.read(1 << 20)
    for name, data in (("stdout", printed), ("stderr", raw)):
        if any(byte < 32 and byte != 10 or byte == 127 for byte in data):
            faults.append(f"control characters on {name}")
    messages = "\n".join(raw.decode("utf-8", "replace").splitlines()[:_LINES])
    return Outcome(code, seconds, memory, messages, tuple(faults))
