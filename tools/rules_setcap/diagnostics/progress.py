"""Shows a line on the terminal with the progress of a long read.

A read may have several steps, such as the layers of an image. Each step has its own total.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FIRST, _NEXT = 2.0, 0.5  # Seconds before the first line, and between lines.
_IO = "/proc/self/io"  # proc_pid_io(5): rchar is the number of bytes that this process has read.


class _Step(NamedTuple):
    """A part of a read.

    Attributes:
      name: what is read; "" if the read has one step only.
      total: its size in bytes; None if it is not known.
      start: the number of bytes that this process had read before.
    """

    name: str
    total: int | None
    start: int


class _Display:
    """The line on the terminal, of which a process has one.

    Attributes:
      step: the current step; None if nothing is read.
      is_shown: whether the line is on the terminal.
    """

    step: _Step | None = None
    is_shown = False


_display = _Display()


@contextlib.contextmanager
def show_progress(what: str) -> Iterator[None]:
    """Shows the progress of the block once it has taken two seconds, if stderr is a terminal that can erase a line.

    Args:
      what: the name of what is read, short enough for a line.
    """
    _display.step = _Step("", None, _count_read_bytes())
    try:
        with show_line(lambda: f"{what}: {_format_step(_display.step)}" if _display.step else ""):
            yield
    finally:
        _display.step = None


@contextlib.contextmanager
def show_line(describe: Callable[[], str]) -> Iterator[None]:
    """Shows a line once the block has taken two seconds, if stderr is a terminal that can erase a line.

    Args:
      describe: returns the text, which is shown again and again; "" if nothing is to be shown.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_show_until_done, args=(describe, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def print_line(text: str) -> None:
    """Prints a line on stderr, in place of the line of the progress, which is shown again below it."""
    erase = "\r\033[K" if _display.is_shown else ""
    print(f"{erase}{text}", file=sys.stderr, flush=True)


def begin_step(name: str, total: int | None) -> None:
    """Begins a step of the read whose progress is shown; does nothing if none is shown.

    Args:
      name: what is read, for the line; "" if the read has one step only.
      total: its size in bytes; None if it is not known.
    """
    if _display.step:
        _display.step = _Step(name, total, _count_read_bytes())


def _show_until_done(describe: Callable[[], str], done: threading.Event) -> None:
    wait = _FIRST
    while not done.wait(wait):
        wait = _NEXT
        if text := describe():
            _display.is_shown = True
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    if _display.is_shown:
        _display.is_shown = False
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _format_step(step: _Step) -> str:
    """Returns how many bytes of a step have been read, and of how many."""
    count = _count_read_bytes() - step.start
    name = f"{step.name}: " if step.name else ""
    if step.total is None:
        return f"{name}{count / 1e6:,.0f} MB read"
    # The process reads other files too, so its count may exceed the total.
    return f"{name}{min(count, step.total) / 1e6:,.0f} of {step.total / 1e6:,.0f} MB read"


def _count_read_bytes() -> int:
    """Returns the number of bytes that this process has read; 0 if the kernel does not count them."""
    try:
        with open(_IO, "rb") as file:
            return int(file.readline().split()[1])
    except OSError:
        return 0
