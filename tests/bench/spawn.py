"""Runs a command and prints its measurements, in a process of its own.

Usage: spawn.py LOG SIZE COMMAND...

The peak memory of a process includes what its parent had when it started the process. This parent is small.

Before it starts the command, it uses SIZE bytes of memory for files and frees them. A virtual machine returns freed memory to
its host (Linux does so after two seconds, mm/page_reporting.c), and the next program that needs it spends seconds of processor
time to get it back. Memory that was freed just now is still there.
"""

import os
import sys
import time

_CHUNK = bytes(1 << 20)
_MUCH = 1 << 28  # Bytes; less memory costs little time.
_QUIET = 2.2  # Seconds.


def _warm(name: str, size: int) -> None:
    """Makes the machine have memory for `size` bytes of files, for the next two seconds."""
    with open(name, "wb", buffering=0) as file:
        os.unlink(name)
        file.writelines(_CHUNK for _ in range(size // len(_CHUNK)))
        if size > _MUCH:
            time.sleep(_QUIET)


def main(log: str, size: str, *command: str) -> None:
    """Prints exit code, seconds, seconds of processor time, and bytes of peak memory of a command."""
    _warm(f"{log}.warm", int(size))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        *((os.POSIX_SPAWN_DUP2, output, to) for to in (1, 2)),
    ]
    start = time.perf_counter()
    # The numbers include the children of the command, so that a pipeline counts as a whole. The memory is that of its largest
    # process.
    _, status, usage = os.wait4(os.posix_spawnp(command[0], command, os.environ, file_actions=files), 0)
    wall = time.perf_counter() - start
    print(os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
