"""Forwards connections to a server on this machine, and counts the bytes that the server sends."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

_CHUNK = 1 << 16


class CountingProxy:
    """A proxy that runs.

    Attributes:
      address: its host and port.
      bytes_received: the number of bytes that clients have received from the server.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.bytes_received = 0
        self._lock = threading.Lock()

    def count(self, size: int) -> None:
        """Counts bytes that the server has sent."""
        with self._lock:
            self.bytes_received += size


@contextlib.contextmanager
def serve(server: str) -> Iterator[CountingProxy]:
    """Runs a proxy until the end of the block.

    Args:
      server: the host and the port of the server.
    """
    host, _, port = server.rpartition(":")
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        proxy = CountingProxy(f"127.0.0.1:{listener.getsockname()[1]}")
        connections: list[socket.socket] = []

        def forward(source: socket.socket, target: socket.socket, *, is_counted: bool) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(_CHUNK):
                    if is_counted:
                        proxy.count(len(data))
                    target.sendall(data)
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        def accept() -> None:
            with contextlib.suppress(OSError):  # The listener is closed at the end.
                while True:
                    client, _ = listener.accept()
                    upstream = socket.create_connection((host, int(port)))
                    connections.extend((client, upstream))
                    for source, target, is_counted in ((client, upstream, False), (upstream, client, True)):
                        thread = threading.Thread(
                            target=forward, args=(source, target), kwargs={"is_counted": is_counted}, daemon=True
                        )
                        thread.start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for connection in connections:
                connection.close()
