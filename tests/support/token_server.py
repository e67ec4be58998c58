"""Runs the server that gives tokens for a registry: https://distribution.github.io/distribution/spec/auth/token/."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import ssl
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

from support import require
from support.certificates import Certificate

ISSUER, SERVICE = "the issuer", "the registry"


class TokenServer:
    """A running server.

    Attributes:
      url: the address that gives tokens.
      password: the name and the password that it demands, separated by a colon.
      scopes: the scopes for which it has given tokens so far.
      lifetime: how long its tokens are valid, in seconds.
    """

    def __init__(self, url: str, password: str, signer: Certificate) -> None:
        self.url, self.password, self.scopes = url, password, set[str]()
        self.lifetime = 300
        self._signer = signer

    def make_token(self, scopes: list[str]) -> str:
        """Returns a JSON Web Token that allows everything that is asked for."""
        self.scopes.update(scopes)
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": "user",
            "aud": SERVICE,
            "exp": now + self.lifetime,
            "nbf": now - 10,
            "iat": now,
            "jti": str(time.monotonic_ns()),
            "access": access,
        }
        chain = ssl.PEM_cert_to_DER_cert(self._signer.path.read_text())
        head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(chain).decode()]}
        text = ".".join(_encode(json.dumps(part).encode()) for part in (head, claims))
        command = [require.tool("openssl"), "dgst", "-sha256", "-sign", str(self._signer.key)]
        signature = subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout
        return f"{text}.{_encode(signature)}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextlib.contextmanager
def serve(address: str, certificate: Certificate, signer: Certificate, password: str) -> Iterator[TokenServer]:
    """Runs a server during the block.

    Args:
      address: its address.
      certificate: the certificate of its HTTPS.
      signer: the certificate that signs tokens.
      password: the name and the password that it demands, separated by a colon.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        """Answers one request."""

        def log_message(self, *_arguments: Any) -> None:
            """Prints nothing."""

        def do_GET(self) -> None:
            """Gives a token."""
            expected = f"Basic {base64.b64encode(password.encode()).decode()}"
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            is_allowed = self.headers.get("Authorization") == expected and query.get("service") == [SERVICE]
            scopes = [scope for value in query.get("scope", ()) for scope in value.split(" ")]
            answer = {"token": served.make_token(scopes)} if is_allowed else {"details": "wrong password"}
            body = json.dumps(answer).encode()
            self.send_response(200 if is_allowed else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            """Refuses OAuth, after which clients use GET."""
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = http.server.ThreadingHTTPServer((address, 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path, certificate.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    served = TokenServer(f"https://{address}:{server.server_port}/token", password, signer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
