"""A line on the terminal that says how far long reading has come."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

_FIRST, _NEXT = 2.0, 0.5  # Seconds.
_IO = "/proc/self/io"  # proc_pid_io(5): rchar counts the bytes that this process has read.


@contextlib.contextmanager
def shown(what: str) -> Iterator[None]:
    """While the block takes more than two seconds, the line; nothing where stderr is no terminal.

    Args:
      what: is read; it fits a terminal.
    """
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_show, args=(what, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(what: str, done: threading.Event) -> None:
    start = _read()
    wait = _FIRST
    while not done.wait(wait):
        wait = _NEXT
        print(f"\r\033[K{what}: {(_read() - start) / 1e6:,.0f} MB read", end="", file=sys.stderr, flush=True)
    if wait is _NEXT:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _read() -> int:
    """Bytes; 0 where the kernel does not say."""
    try:
        with open(_IO, "rb") as file:
            return int(file.readline().split()[1])
    except OSError:
        return 0
