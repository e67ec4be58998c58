"""Answers of HTTP servers, with limits of time and size."""

from __future__ import annotations

import functools
import http.client
import io
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from rules_setcap.diagnostics import limits

if TYPE_CHECKING:
    import socket


class Answer(NamedTuple):
    """An answer to a request.

    Attributes:
      status: the status code.
      headers: the headers.
      body: the body; b"" if it was not requested.
    """

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def exchange(connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str], seconds: float) -> Answer:
    """Sends a request, and returns the answer.

    Args:
      connection: the connection.
      method: the method.
      path: the path with the query.
      headers: the headers.
      seconds: the longest time for the whole answer.

    Raises:
      http.client.HTTPException: the answer is not valid, or has more than limits.JSON bytes.
      OSError: the connection breaks, or the answer does not come in time.
    """
    connection.response_class = functools.partial(_LimitedResponse, seconds=seconds)  # type: ignore[assignment]
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = b""
    while piece := answer.read(min(1 << 16, limits.JSON + 1 - len(body))):
        body += piece
        if len(body) > limits.JSON:
            raise http.client.HTTPException(f"an answer of more than {limits.JSON} bytes (limit JSON)")
    if answer.length:
        raise http.client.HTTPException("its answer ends too early")
    return Answer(answer.status, answer.headers, body)


class _LimitedResponse(http.client.HTTPResponse):
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
