"""A registry that sends what it is told to send, whatever was asked for."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator

ENDLESS = b"\0" * (1 << 16)
"""The content of a blob that does not end: the registry repeats it until the client hangs up."""

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class HostileRegistry:
    """A running registry.

    Attributes:
      host: its address and port.
      documents: the manifests and indexes by digest, and their media types.
      blobs: the blobs by digest. A digest need not be that of its blob.
      message: the message of the error for everything else.
      sent: the number of bytes of blobs that were sent so far.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self.documents: dict[str, tuple[bytes, str]] = {}
        self.blobs: dict[str, bytes] = {}
        self.message = ""
        self.sent = 0

    def add_document(self, data: bytes, media_type: str = _MANIFEST) -> str:
        """Adds a manifest or an index, and returns its digest."""
        digest = compute_digest(data)
        self.documents[digest] = data, media_type
        return digest

    def add_blob(self, data: bytes) -> dict[str, object]:
        """Adds a blob, and returns its digest and size, as a descriptor has them."""
        self.blobs[compute_digest(data)] = data
        return {"digest": compute_digest(data), "size": len(data)}


def compute_digest(data: bytes) -> str:
    """Returns the digest of a blob."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def serve() -> Iterator[HostileRegistry]:
    """Runs a registry during the block."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, _, digest = self.path.rpartition("/")
            if self.path == "/v2/":
                self._send(b"{}", "application/json")
            elif kind.endswith("/manifests") and digest in registry.documents:
                self._send(*registry.documents[digest])
            elif kind.endswith("/blobs") and registry.blobs.get(digest) is ENDLESS:
                self._send_endless()
            elif kind.endswith("/blobs") and digest in registry.blobs:
                self._send(registry.blobs[digest], "application/octet-stream")
            else:
                errors = [{"code": "MANIFEST_UNKNOWN", "message": registry.message}]
                self._send(json.dumps({"errors": errors}).encode(), "application/json", 404)

        do_HEAD = do_GET  # noqa: N815, the name is that of http.server

        def log_message(self, *_arguments: object) -> None:
            """Prints nothing."""

        def _send(self, data: bytes, media_type: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def _send_endless(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    registry.sent += self.wfile.write(ENDLESS)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry = HostileRegistry(f"127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
