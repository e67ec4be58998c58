"""Reads the status of many files at once."""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any, Self

_SHARED = 64  # The number of files from which on a second thread helps.


class StatusReader:
    """Calls stat(2), for half of the files in a second thread: the call leaves the interpreter to others.

    Not more than half: a thread that waits for the interpreter while another runs Python code waits for milliseconds.
    """

    def __init__(self, threads: int) -> None:
        """Creates a reader.

        Args:
          threads: the number of threads that may run; with 1, there is no second one.
        """
        self._threads = threads
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._requests.put(None)

    def read(self, paths: Sequence[str]) -> Sequence[os.stat_result | OSError]:
        """Returns the status of each file, or why it cannot be read."""
        if self._threads == 1 or len(paths) < _SHARED:
            return _read_statuses(paths)
        if self._thread is None:
            self._thread = threading.Thread(target=self._answer_requests, daemon=True)
            self._thread.start()
        half = len(paths) // 2
        self._requests.put(paths[half:])
        return [*_read_statuses(paths[:half]), *self._answers.get()]

    def _answer_requests(self) -> None:
        while (paths := self._requests.get()) is not None:
            self._answers.put(_read_statuses(paths))


def _read_statuses(paths: Sequence[str]) -> Sequence[os.stat_result | OSError]:
    try:
        return list(map(os.stat, paths))
    except OSError:
        return [_read_status(path) for path in paths]


def _read_status(path: str) -> os.stat_result | OSError:
    try:
        return os.stat(path)
    except OSError as error:
        return error
