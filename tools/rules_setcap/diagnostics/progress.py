"""Shows a line on the terminal with the progress of a long read."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST, _NEXT = 2.0, 0.5  # Seconds before the first line, and between lines.
_IO = "/proc/self/io"  # proc_pid_io(5): rchar is the number of bytes that this process has read.


@contextlib.contextmanager
def show_progress(what: str) -> Iterator[None]:
    """Shows the progress of the block once it has taken two seconds, if stderr is a terminal.

    Args:
      what: the name of what is read, short enough for a line.
    """
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_show_until_done, args=(what, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show_until_done(what: str, done: threading.Event) -> None:
    start = _count_read_bytes()
    wait = _FIRST
    while not done.wait(wait):
        wait = _NEXT
        print(f"\r\033[K{what}: {(_count_read_bytes() - start) / 1e6:,.0f} MB read", end="", file=sys.stderr, flush=True)
    if wait is _NEXT:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _count_read_bytes() -> int:
    """Returns the number of bytes that this process has read; 0 if the kernel does not count them."""
    try:
        with open(_IO, "rb") as file:
            return int(file.readline().split()[1])
    except OSError:
        return 0
