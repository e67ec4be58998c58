"""Retries with exponential backoff, for errors of registries that pass."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, TypeVar

from rules_setcap.delivery.errors import InterruptedReleaseError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

_FIRST_DELAY = 0.5
"""The delay before the first retry, in seconds. Each further one is twice as long."""
_MAX_RETRY_AFTER = 120.0
"""The longest delay that a registry can demand by Retry-After, in seconds."""


class Retries:
    """Calls operations again that fail with a TransientError.

    If a registry has failed for as long as the retries of an operation lasted, other operations on it are not retried until one
    succeeds. A release of many images ends soon after its registry.

    Attributes:
      stop: set when the release has been interrupted.
    """

    def __init__(self, count: int) -> None:
        """Creates an instance.

        Args:
          count: the number of retries.
        """
        self.stop = threading.Event()
        self._count = count
        self._failing_hosts: set[str] = set()

    def call(self, host: str, operation: Callable[[], Result]) -> Result:
        """Calls an operation, and calls it again while it raises TransientError.

        Args:
          host: the registry.
          operation: the operation.

        Raises:
          TransientError: the operation failed each time.
          InterruptedReleaseError: the release has been interrupted.
        """
        delay = _FIRST_DELAY
        for left in range(self._count, -1, -1):
            if self.stop.is_set():
                raise InterruptedReleaseError("interrupted")
            try:
                result = operation()
            except TransientError as error:
                if not left or host in self._failing_hosts:
                    self._failing_hosts.add(host)
                    raise
                wait = (
                    min(error.retry_after, _MAX_RETRY_AFTER)
                    if error.retry_after is not None
                    else delay * random.uniform(0.8, 1.2)
                )
                self.stop.wait(wait)
                delay *= 2
            else:
                self._failing_hosts.discard(host)
                return result
        raise AssertionError("unreachable")
