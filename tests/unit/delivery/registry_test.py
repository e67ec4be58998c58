"""A registry cannot hold a release up: every answer has a limit of time and size, whatever comes."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from rules_setcap.delivery.errors import DeliveryError, TransientError, UnreadableRegistryError
from rules_setcap.delivery.release import registry as registries
from rules_setcap.delivery.release.authorization import Authorizer
from rules_setcap.delivery.release.retries import Retries
from rules_setcap.delivery.release.running_programs import RunningPrograms

MANIFEST = b'{"schemaVersion":2}'
STATUS = b"HTTP/1.1 200 OK\r\n"

Pieces = Callable[[], Iterator[bytes]]
"""What a registry sends, a piece at a time."""


@contextlib.contextmanager
def serve(pieces: Pieces) -> Iterator[str]:
    """Runs a registry that sends some bytes for a manifest, and answers other requests rightly; yields its host."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                while request := connection.recv(1 << 16):
                    if request.startswith(b"GET") and b"/manifests/" in request:
                        for piece in pieces():
                            connection.sendall(piece)
                        return
                    connection.sendall(STATUS + b"Content-Length: 0\r\n\r\n")

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=[server.accept()[0]], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def find_manifest(host: str) -> str:
    """Asks a registry for a tag, once."""
    client = registries.Registry(host, Authorizer("", RunningPrograms(600), insecure=True), Retries(0, 600), insecure=True)
    with contextlib.closing(client):
        return client.find_manifest(f"{host}/app", "v1")


def trickle(head: bytes, piece: bytes) -> Pieces:
    """Sends some bytes at once, and then a piece again and again, each in time."""

    def send() -> Iterator[bytes]:
        yield head
        while True:
            time.sleep(0.05)
            yield piece

    return send


SLOW = {
    "nothing": lambda: iter([time.sleep(20) or b""]),
    "status line": trickle(b"HTTP/1.1 200 ", b"x"),
    "header": trickle(STATUS + b"X: ", b"x"),
    "body": trickle(STATUS + b"Content-Length: 100000\r\n\r\n", b"x"),
    "chunks": trickle(STATUS + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "chunk size": trickle(STATUS + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "trailers": trickle(STATUS + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n"),
    "interim answers": trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim answers at once": lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
}


@pytest.mark.parametrize("pieces", SLOW.values(), ids=SLOW)
def test_an_answer_has_a_limit_of_time(monkeypatch: pytest.MonkeyPatch, pieces: Pieces):
    monkeypatch.setattr(registries, "_ANSWER_TIMEOUT", 1.0)
    started = time.monotonic()
    with serve(pieces) as host, pytest.raises(TransientError, match="does not answer: "):
        find_manifest(host)
    assert time.monotonic() - started < 10


LARGE = {
    "header": lambda: iter([STATUS + b"X: " + b"x" * (1 << 20)]),
    "headers": lambda: itertools.chain([STATUS], itertools.repeat(b"X: y\r\n")),
    "status line": lambda: itertools.chain([b"HTTP/1.1 200 "], itertools.repeat(b"x" * 1000)),
    "body": lambda: itertools.chain([STATUS + b"\r\n"], itertools.repeat(b"x" * 10000)),
    "body of a known size": lambda: itertools.chain([STATUS + b"Content-Length: 1" + b"0" * 30 + b"\r\n\r\n"], itertools.repeat(b"x" * 10000)),
    "chunks": lambda: itertools.chain([STATUS + b"Transfer-Encoding: chunked\r\n\r\n"], itertools.repeat(b"2710\r\n" + b"x" * 10000 + b"\r\n")),
    "chunk size": lambda: itertools.chain([STATUS + b"Transfer-Encoding: chunked\r\n\r\n"], itertools.repeat(b"f" * 1000)),
}  # fmt: skip


@pytest.mark.parametrize("pieces", LARGE.values(), ids=LARGE)
def test_an_answer_has_a_limit_of_size(pieces: Pieces):
    started = time.monotonic()
    with serve(pieces) as host, pytest.raises(TransientError):
        find_manifest(host)
    assert time.monotonic() - started < 20


BROKEN = {
    "closed": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "binary": bytes(range(256)) * 10,
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "half a header": STATUS + b"Content-Le",
    "no body": STATUS + b"\r\n",
    "a short body": STATUS + b"Content-Length: 10\r\n\r\nx",
    "no chunk": STATUS + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_is_not_http_is_an_error(data: bytes):
    with serve(lambda: iter([data])) as host, pytest.raises(DeliveryError) as refused:
        find_manifest(host)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("banner", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b""])
def test_a_server_that_does_not_speak_http_cannot_be_read(banner: bytes):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as connection:
                        connection.sendall(banner)

        threading.Thread(target=accept, daemon=True).start()
        with pytest.raises((TransientError, UnreadableRegistryError)) as refused:
            find_manifest(f"127.0.0.1:{server.getsockname()[1]}")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("head", [b"Content-Length: 19\r\n\r\n", b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n13\r\n"])
def test_an_answer_in_time_is_read(head: bytes):
    end = b"\r\n0\r\n\r\n" if b"chunked" in head else b""
    with serve(lambda: iter([STATUS, head, MANIFEST, end])) as host:
        assert find_manifest(host) == f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"


def test_a_retry_after_of_days_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    waits: list[float] = []
    retries = Retries(2, 600)
    monkeypatch.setattr(retries.stop, "wait", waits.append)

    def ask() -> None:
        raise TransientError("busy", registries.parse_retry_after("864000"))

    with pytest.raises(TransientError):
        retries.call("registry.example", ask)
    assert len(waits) == 2 and all(wait <= 130 for wait in waits)


@pytest.mark.parametrize("text", ["", "soon", "-1", "1e9", "9" * 30, "\u0663", "Thu, 99 Nov 2026 00:00:00 GMT", "0x10"])
def test_an_invalid_retry_after_is_ignored(text: str):
    assert registries.parse_retry_after(text) is None


def test_a_retry_after_is_a_number_or_a_date(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    assert registries.parse_retry_after(" 12 ") == 12
    assert registries.parse_retry_after("Tue, 14 Nov 2023 22:13:30 GMT") == 10
    assert registries.parse_retry_after("Tue, 14 Nov 2023 22:13:10 GMT") == 0
