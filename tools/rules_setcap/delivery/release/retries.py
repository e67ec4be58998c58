"""Retries with exponential backoff, for errors of registries that pass."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from rules_setcap.delivery.errors import DeliveryError, InterruptedReleaseError, TransientError, UnansweredError

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
    succeeds. If it has not answered, and nothing else that it was asked for in the meantime, it is not asked again. So a release of
    many images ends soon after its registry.

    Attributes:
      stop: set when the release has been interrupted.
    """

    def __init__(self, count: int, limit: float) -> None:
        """Creates an instance.

        Args:
          count: the number of retries.
          limit: the time without an answer after which a registry is not asked again, in seconds.
        """
        self.stop = threading.Event()
        self._count, self._limit = count, limit
        self._failing_hosts: set[str] = set()
        self._silent_hosts: set[str] = set()
        self._answered: dict[str, float] = {}  # By host, when an operation has succeeded last.

    def call(self, host: str, operation: Callable[[], Result]) -> Result:
        """Calls an operation, and calls it again while it raises TransientError.

        Args:
          host: the registry.
          operation: the operation.

        Raises:
          TransientError: the operation failed each time.
          DeliveryError: the registry has not answered other operations.
          InterruptedReleaseError: the release has been interrupted.
        """
        began, delay = time.monotonic(), _FIRST_DELAY
        for left in range(self._count, -1, -1):
            if self.stop.is_set():
                raise InterruptedReleaseError("interrupted")
            if host in self._silent_hosts:
                raise DeliveryError(f"{host} was not asked, because it has not answered before")
            attempted = time.monotonic()
            try:
                result = operation()
            except TransientError as error:
                is_silent = isinstance(error, UnansweredError) and self._answered.get(host, 0.0) < attempted
                if is_silent and (not left or time.monotonic() - began >= self._limit):
                    self._silent_hosts.add(host)
                    raise
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
                self._answered[host] = time.monotonic()
                self._failing_hosts.discard(host)
                return result
        raise AssertionError("unreachable")
