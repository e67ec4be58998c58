"""A proxy in front of a registry, which records requests and can answer them as a registry with a fault does."""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple


class Request(NamedTuple):
    """A request that the proxy has got.

    Attributes:
      method: the method.
      path: the path with the query.
      size: the number of bytes of its body.
    """

    method: str
    path: str
    size: int


class Answer(NamedTuple):
    """An answer that does not come from the registry.

    Attributes:
      status: the status.
      headers: the headers.
      body: the body.
      endless: whether the body is repeated until the client closes the connection.
    """

    status: int
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    endless: bool = False


DROP = Answer(0)
"""The proxy closes the connection without an answer."""
TRUNCATE = Answer(-1)
"""The registry gets half of the request's body, and then the connections are closed."""


@dataclass
class _Fault:
    """An answer to the next requests that match.

    Attributes:
      pattern: matches the method, a space and the path.
      answer: the answer; or a function that is called and whose answer counts, None for that of the registry.
      count: how many requests it is still for.
    """

    pattern: re.Pattern[str]
    answer: Answer | Callable[[], Answer | None]
    count: int


@dataclass
class Proxy:
    """A running proxy.

    Attributes:
      host: its address and port.
      upstream: the address and port of the registry.
      requests: the requests so far.
      password: the name and the password, separated by a colon, without which the proxy gives no token; "" if it needs none.
    """

    host: str
    upstream: str
    requests: list[Request] = field(default_factory=list)
    password: str = ""
    _faults: list[_Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, pattern: str, answer: Answer | Callable[[], Answer | None], count: int = 1) -> None:
        """Has the next requests that match answered in another way.

        Args:
          pattern: a regular expression for the method, a space and the path.
          answer: the answer, or a function that returns it.
          count: the number of requests.
        """
        with self._lock:
            self._faults.append(_Fault(re.compile(pattern), answer, count))

    def heal(self) -> None:
        """Removes all faults, and forgets the requests."""
        with self._lock:
            self._faults.clear()
            self.requests.clear()

    def count(self, pattern: str) -> int:
        """Returns the number of requests that match a regular expression for the method, a space and the path."""
        return sum(re.search(pattern, f"{method} {path}") is not None for method, path, _ in self.requests)

    def find_fault(self, request: Request) -> Answer | None:
        """Records a request; returns the answer to it that does not come from the registry."""
        with self._lock:
            self.requests.append(request)
            for fault in self._faults:
                if fault.count and fault.pattern.search(f"{request.method} {request.path}"):
                    fault.count -= 1
                    break
            else:
                return None
        return fault.answer() if callable(fault.answer) else fault.answer


_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


class _Handler(http.server.BaseHTTPRequestHandler):
    """Handles one connection."""

    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def log_message(self, *_arguments: object) -> None:
        """Prints nothing."""

    def handle_request(self) -> None:
        """Answers a request."""
        body = self._read_body()
        answer = self._check_token() or self.proxy.find_fault(Request(self.command, self.path, len(body)))
        if answer in (DROP, TRUNCATE):
            if answer is TRUNCATE:
                self._truncate(body)
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        elif answer:
            self._send(answer)
        else:
            self._forward(body)

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _check_token(self) -> Answer | None:
        """Returns the token that was requested, or the demand for one."""
        password = self.proxy.password
        if not password:
            return None
        if self.path.startswith("/token"):
            expected = f"Basic {base64.b64encode(password.encode()).decode()}"
            if self.headers.get("Authorization") != expected:
                return Answer(401, {}, b'{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}')
            return Answer(200, {"Content-Type": "application/json"}, json.dumps({"token": "secret"}).encode())
        if self.headers.get("Authorization") == "Bearer secret":
            return None
        challenge = f'Bearer realm="http://{self.proxy.host}/token",service="test",scope="repository:x:pull"'
        return Answer(401, {"WWW-Authenticate": challenge}, b'{"errors":[{"code":"UNAUTHORIZED","message":"no token"}]}')

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not answer.endless:
            self.send_header("Content-Length", str(len(answer.body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):
            if self.command != "HEAD":
                self.wfile.write(answer.body)
                while answer.endless:
                    self.wfile.write(answer.body)
        self.close_connection = self.close_connection or answer.endless

    def _open(self, body: bytes, size: int) -> http.client.HTTPConnection:
        """Sends the request to the registry; of its body, the first `size` bytes."""
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=30)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:size])
        return connection

    def _truncate(self, body: bytes) -> None:
        with contextlib.suppress(OSError), contextlib.closing(self._open(body, len(body) // 2)):
            pass

    def _forward(self, body: bytes) -> None:
        try:
            with contextlib.closing(self._open(body, len(body))) as connection:
                answer = connection.getresponse()
                content = answer.read()
        except OSError:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "date", "content-length"):
                self.send_header(name, value)
        size = answer.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", size)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)


@contextlib.contextmanager
def serve(upstream: str) -> Iterator[Proxy]:
    """Runs a proxy during the block.

    Args:
      upstream: the address and port of the registry.
    """

    handler = type("Handler", (_Handler,), {f"do_{method}": _Handler.handle_request for method in _METHODS})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    handler.proxy = Proxy(f"127.0.0.1:{server.server_port}", upstream)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield handler.proxy
    finally:
        server.shutdown()
        server.server_close()
