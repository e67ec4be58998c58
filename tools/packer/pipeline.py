"""Work on many blocks side by side, the results in order."""

from __future__ import annotations

import collections
import threading

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
        self._todo: collections.deque[list[Any]] = collections.deque()
        self._order: collections.deque[list[Any]] = collections.deque()
        self._changed = threading.Condition()
        self._limit = threads + 2
        self._closed = False
        self._error: BaseException | None = None
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        self._threads.append(threading.Thread(target=self._drain, daemon=True))
        for thread in self._threads:
            thread.start()

    def put(self, job: Callable[[], bytes]) -> None:
        """Adds a job; waits while too many are under way.

        Raises:
          BaseException: what an earlier job, or `finish`, raised.
        """
        slot: list[Any] = [job]  # Becomes [job, result].
        with self._changed:
            while len(self._order) >= self._limit and self._error is None:
                self._changed.wait()
            self._fail()
            self._todo.append(slot)
            self._order.append(slot)
            self._changed.notify_all()

    def close(self) -> None:
        """Waits for all of it.

        Raises:
          BaseException: what a job, or `finish`, raised.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._fail()

    def abandon(self) -> None:
        """Stops without finishing what is under way."""
        with self._changed:
            self._error = self._error or InterruptedError()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _fail(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._todo and not self._closed and self._error is None:
                    self._changed.wait()
                if self._error is not None or not self._todo:
                    return
                slot = self._todo.popleft()
            try:
                result = slot[0]()
            except BaseException as error:  # Raised again in put() or close().
                with self._changed:
                    self._error = self._error or error
                    self._changed.notify_all()
                return
            with self._changed:
                slot.append(result)
                self._changed.notify_all()

    def _drain(self) -> None:
        while True:
            with self._changed:
                while not (self._order and len(self._order[0]) == 2) and self._error is None:
                    if self._closed and not self._order:
                        return
                    self._changed.wait()
                if self._error is not None:
                    return
                slot = self._order[0]
            try:
                self._finish(slot[1])
            except BaseException as error:  # Raised again in put() or close().
                with self._changed:
                    self._error = self._error or error
                    self._changed.notify_all()
                return
            with self._changed:
                self._order.popleft()
                self._changed.notify_all()
