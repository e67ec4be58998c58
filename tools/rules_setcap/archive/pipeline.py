"""Runs jobs in several threads and hands on their results in order."""

from __future__ import annotations

import contextlib
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Pipeline:
    """Runs each job in one of several threads, and passes the results in order to `finish` in one more thread.

    The threads run side by side because zlib, hashing and writing release the GIL. The number of jobs that are under way is
    bounded, and so is memory.
    """

    def __init__(self, finish: Callable[[bytes], None], threads: int) -> None:
        """Starts the threads.

        Args:
          finish: takes the result of each job, in the order of add_job().
          threads: the number of threads that run jobs.
        """
        self._finish = finish
        self._error: BaseException | None = None
        self._jobs: SimpleQueue[Any] = SimpleQueue()  # Each job with the queue that gets its result; None at the end.
        self._results: SimpleQueue[Any] = SimpleQueue()  # Those queues, in the order of the jobs; None at the end.
        self._slots: SimpleQueue[None] = SimpleQueue()  # One item for each job that may still be added.
        for _ in range(threads + 2):
            self._slots.put(None)
        self._workers = [threading.Thread(target=self._run_jobs, daemon=True) for _ in range(threads)]
        self._finisher = threading.Thread(target=self._finish_results, daemon=True)
        for thread in (*self._workers, self._finisher):
            thread.start()

    def add_job(self, job: Callable[[], bytes]) -> None:
        """Adds a job; waits while too many are under way.

        Raises:
          BaseException: the exception that an earlier job, or `finish`, raised.
        """
        self._slots.get()
        self._raise_error()
        result: SimpleQueue[Any] = SimpleQueue()
        self._jobs.put((job, result))
        self._results.put(result)

    def close(self) -> None:
        """Waits until all results are finished.

        Raises:
          BaseException: the exception that a job, or `finish`, raised.
        """
        for _ in self._workers:
            self._jobs.put(None)
        self._results.put(None)
        for thread in (*self._workers, self._finisher):
            thread.join()
        self._raise_error()

    def abandon(self) -> None:
        """Stops the threads without finishing what is under way. After close(), it has no effect."""
        self._error = self._error or InterruptedError()
        if self._finisher.is_alive():
            with contextlib.suppress(BaseException):  # The caller abandons the results because it has an exception already.
                self.close()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run_jobs(self) -> None:
        while item := self._jobs.get():
            job, result = item
            try:
                result.put(job() if self._error is None else b"")
            except BaseException as error:  # add_job() or close() raises it again.
                self._error = self._error or error
                result.put(b"")

    def _finish_results(self) -> None:
        while result := self._results.get():
            data = result.get()
            try:
                if self._error is None:
                    self._finish(data)
            except BaseException as error:  # add_job() or close() raises it again.
                self._error = self._error or error
            self._slots.put(None)
