"""Runs a command and prints what it took, from a process of its own.

Usage: spawn.py LOG SIZE COMMAND...

The kernel counts as a child's peak memory what its parent had when it started the
child. So the parent is this, which has next to nothing.

And before it starts the command it takes SIZE bytes of memory for files, holds them, and
lets go of them. A virtual machine gives memory that was freed back to its host (Linux does
two seconds later, mm/page_reporting.c), and whoever needs it next pays for that with
seconds of processor time. What was freed just now, after two quiet seconds, is still there.
"""

import os
import sys
import time

_CHUNK = bytes(1 << 20)
_MUCH = 1 << 28  # Bytes; less costs little.
_QUIET = 2.2  # Seconds.


def _warm(name: str, size: int) -> None:
    """Sees to it that the machine has memory for `size` bytes of files, for the next two seconds."""
    with open(name, "wb", buffering=0) as file:
        os.unlink(name)
        for _ in range(size // len(_CHUNK)):
            file.write(_CHUNK)
        if size > _MUCH:
            time.sleep(_QUIET)


def main(log: str, size: str, *command: str) -> None:
    """Prints exit code, seconds, seconds of processors, bytes."""
    _warm(f"{log}.warm", int(size))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        *((os.POSIX_SPAWN_DUP2, output, to) for to in (1, 2)),
    ]
    start = time.perf_counter()
    # Children of the child are in it: a pipeline counts as a whole. Its memory is that
    # of its largest process.
    _, status, usage = os.wait4(os.posix_spawnp(command[0], command, os.environ, file_actions=files), 0)
    wall = time.perf_counter() - start
    print(os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
