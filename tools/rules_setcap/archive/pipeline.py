"""Work on many blocks side by side, the results in order."""

from __future__ import annotations

import threading
from queue import SimpleQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


class Pipeline:
    """Calls each job in one of several threads, and hands the results in order to `finish` in one more.

    What jobs and `finish` spend their time on (zlib, hashing, writing) leaves the
    interpreter to others. The number of items under way is bounded, and so is memory.
    """

    def __init__(self, finish: Callable[[bytes], None], threads: int) -> None:
        """
        Args:
          finish: called in one thread, in the order of put().
          threads: how many for jobs.
        """
        self._finish = finish
        self._error: BaseException | None = None
        self._todo: SimpleQueue[Any] = SimpleQueue()  # Jobs, each with the queue that gets its result.
        self._order: SimpleQueue[Any] = SimpleQueue()  # Those queues.
        self._free: SimpleQueue[None] = SimpleQueue()  # As many as items may yet come.
        for _ in range(threads + 2):
            self._free.put(None)
        self._workers = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        self._last = threading.Thread(target=self._drain, daemon=True)
        for thread in (*self._workers, self._last):
            thread.start()

    def put(self, job: Callable[[], bytes]) -> None:
        """Adds a job; waits while too many are under way.

        Raises:
          BaseException: what an earlier job, or `finish`, raised.
        """
        self._free.get()
        self._fail()
        result: SimpleQueue[Any] = SimpleQueue()
        self._todo.put((job, result))
        self._order.put(result)

    def close(self) -> None:
        """Waits for all of it.

        Raises:
          BaseException: what a job, or `finish`, raised.
        """
        for _ in self._workers:
            self._todo.put(None)
        self._order.put(None)
        for thread in (*self._workers, self._last):
            thread.join()
        self._fail()

    def abandon(self) -> None:
        """Stops without finishing what is under way; nothing, once it is closed."""
        self._error = self._error or InterruptedError()
        if self._last.is_alive():
            try:
                self.close()
            except BaseException:  # Whoever abandons it knows.
                pass

    def _fail(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while item := self._todo.get():
            job, result = item
            try:
                result.put(job() if self._error is None else b"")
            except BaseException as error:  # Raised again in put() or close().
                self._error = self._error or error
                result.put(b"")

    def _drain(self) -> None:
        while result := self._order.get():
            data = result.get()
            try:
                if self._error is None:
                    self._finish(data)
            except BaseException as error:  # Raised again in put() or close().
                self._error = self._error or error
            self._free.put(None)
