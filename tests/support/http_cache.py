"""Runs an HTTP cache for Bazel on this machine, and counts what it serves.

The protocol is that of nginx with WebDAV, which the documentation of Bazel names: GET and PUT of /ac/KEY and /cas/DIGEST.
"""

from __future__ import annotations

import contextlib
import http.server
import pathlib
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

_CHUNK = 1 << 20


class HttpCache:
    """A running HTTP cache.

    Attributes:
      flags: the flags with which Bazel uses it.
      served: the number of times that each blob has been served, by its SHA-256.
      bytes_served: the total size of all answers' bodies, also those of the action cache.
      hits, misses: the numbers of requests for a result of an action.
    """

    def __init__(self, address: str, directory: pathlib.Path) -> None:
        self.flags = [f"--remote_cache=http://{address}"]
        self.served: Counter[str] = Counter()
        self.bytes_served = self.hits = self.misses = 0
        self._directory = directory
        self._lock = threading.Lock()

    def reset(self) -> None:
        """Sets all counts to zero."""
        with self._lock:
            self.served.clear()
            self.bytes_served = self.hits = self.misses = 0

    def find_path(self, name: str) -> pathlib.Path:
        """Returns the path of the file for a request's path, such as /cas/DIGEST."""
        kind, _, key = name.strip("/").rpartition("/")
        assert kind in ("ac", "cas") and key.isalnum(), name
        return self._directory / kind / key

    def count(self, name: str, size: int | None) -> None:
        """Counts a request.

        Args:
          name: the path of the request.
          size: the size of the answer; None if the cache does not have it.
        """
        kind, _, key = name.strip("/").rpartition("/")
        with self._lock:
            self.bytes_served += size or 0
            if kind == "cas" and size is not None:
                self.served[key] += 1
            elif kind == "ac":
                self.hits, self.misses = self.hits + (size is not None), self.misses + (size is None)


@contextlib.contextmanager
def serve(directory: pathlib.Path) -> Iterator[HttpCache]:
    """Runs a cache until the end of the block.

    Args:
      directory: an empty directory, which gets the files of the cache.
    """
    for kind in ("ac", "cas"):
        (directory / kind).mkdir()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = cache.find_path(self.path)
            size = path.stat().st_size if path.exists() else None
            cache.count(self.path, size)
            self.send_response(404 if size is None else 200)
            self.send_header("Content-Length", str(size or 0))
            self.end_headers()
            if size:
                with path.open("rb") as file:
                    while data := file.read(_CHUNK):
                        self.wfile.write(data)

        def do_PUT(self) -> None:
            path = cache.find_path(self.path)
            left = int(self.headers["Content-Length"])
            # Of two requests at once, each writes a file of its own.
            part = path.with_name(f"{path.name}.{threading.get_ident()}")
            with part.open("wb") as file:
                while left and (data := self.rfile.read(min(left, _CHUNK))):
                    file.write(data)
                    left -= len(data)
            part.rename(path)
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name of the base class)
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 1000  # Bazel opens many connections at once.
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        cache = HttpCache(f"127.0.0.1:{server.server_port}", directory)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield cache
        finally:
            server.shutdown()
            thread.join()
