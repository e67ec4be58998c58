"""Calls a function again and again in a thread of its own, a few results ahead of the caller.

Decompressing and hashing release the GIL, so that a layer is decompressed, hashed and parsed side by side.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

T = TypeVar("T")

FEW = 4
"""Results that wait for a caller that takes them soon. More bridge longer pauses, and take more memory."""


class ReadAhead(Generic[T]):
    """Results of a function, in order.

    The thread ends after the first result that is false, after an exception, and at close().
    """

    def __init__(self, produce: Callable[[], T], count: int = FEW) -> None:
        """Starts the thread.

        Args:
          produce: returns the next result; a false one is the last.
          count: the most results that wait for the caller.
        """
        self._produce = produce
        self._results: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._slots: SimpleQueue[bool] = SimpleQueue()  # True for each result that may still be produced; False to stop.
        self._last: tuple[Any, BaseException | None] | None = None
        for _ in range(count):
            self._slots.put(True)
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self) -> T:
        """Returns the next result; the last one again and again.

        Raises:
          BaseException: the exception that the function raised.
        """
        if self._last is None:
            item = self._results.get()
            self._slots.put(True)
            if not item[0] or item[1]:
                self._last = item
        else:
            item = self._last
        result, error = item
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Stops the thread after its current call. Who waits in take() gets no more results but an exception."""
        self._is_closed = True
        self._slots.put(False)

    def close(self) -> None:
        """Stops the thread, and waits until it has ended."""
        self.stop()
        self._thread.join()

    def _run(self) -> None:
        while True:
            if not self._slots.get() or self._is_closed:
                self._results.put((None, InterruptedError()))
                return
            try:
                result = self._produce()
            except BaseException as error:  # take() raises it again.
                self._results.put((None, error))
                return
            self._results.put((result, None))
            if not result:
                return
