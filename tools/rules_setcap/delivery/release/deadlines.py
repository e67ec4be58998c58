"""Answers of HTTP servers with a limit of time."""

from __future__ import annotations

import http.client
import io
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket


class LimitedResponse(http.client.HTTPResponse):
    """A response that must be complete in time: status line, interim responses, headers, body and trailers together.

    The timeout of a socket limits only the wait for the next bytes, so a server that sends a byte now and then, or interim responses
    without end, could hold a client up forever.
    """

    def __init__(self, connection: socket.socket, *args: object, seconds: float, **kwargs: object) -> None:
        """Begins to read a response.

        Args:
          connection: the connection.
          *args: further arguments of HTTPResponse.
          seconds: the limit. After it, reading raises TimeoutError.
          **kwargs: further arguments of HTTPResponse.
        """
        super().__init__(connection, *args, **kwargs)  # type: ignore[arg-type]
        self.fp = io.BufferedReader(_LimitedReader(self.fp.detach(), connection, seconds))


class _LimitedReader(io.RawIOBase):
    """Reads a connection until a deadline."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, seconds: float) -> None:
        self._raw, self._connection = raw, connection
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        timeout = self._connection.gettimeout()
        self._connection.settimeout(left if timeout is None else min(left, timeout))
        try:
            return self._raw.readinto(buffer)
        finally:
            self._connection.settimeout(timeout)

    def close(self) -> None:
        self._raw.close()
        super().close()
