"""Runs a registry on this machine: Debian's docker-registry, the reference implementation."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import re
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping

from support import require
from support.machine import Machine, run_daemon

_ACCEPTED = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
# bcrypt of "secret".
_HTPASSWD = "user:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"
_LISTENING = re.compile(r"listening on ([0-9.]+:\d+)")
_START = 30  # The time limit for the start, in seconds.


class Registry:
    """A running registry.

    Attributes:
      host: its address and port.
    """

    def __init__(
        self,
        host: str,
        log: pathlib.Path,
        process: subprocess.Popen[bytes] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.host = host
        self._url = f"{'https' if context else 'http'}://{host}"
        self._context = context
        self._log = log
        self._process = process

    def kill(self) -> None:
        """Kills the registry."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def _open(self, request: str | urllib.request.Request) -> http.client.HTTPResponse:
        """Sends a request, without a proxy."""
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self._context:
            handlers.append(urllib.request.HTTPSHandler(context=self._context))
        return urllib.request.build_opener(*handlers).open(request)

    def manifest(self, repository: str, reference: str) -> tuple[str, bytes]:
        """Returns digest and bytes of a manifest or index.

        Args:
          repository: the repository.
          reference: a tag or a digest.
        """
        url = f"{self._url}/v2/{repository}/manifests/{reference}"
        with self._open(urllib.request.Request(url, headers={"Accept": _ACCEPTED})) as answer:
            return answer.headers["Docker-Content-Digest"], answer.read()

    def blob(self, repository: str, digest: str) -> bytes:
        """Returns the bytes of a blob."""
        with self._open(f"{self._url}/v2/{repository}/blobs/{digest}") as answer:
            return answer.read()

    def tags(self, repository: str) -> list[str]:
        """Returns the tags of a repository; an empty list if the registry does not have the repository."""
        try:
            with self._open(f"{self._url}/v2/{repository}/tags/list") as answer:
                return sorted(json.load(answer)["tags"] or [])
        except urllib.error.HTTPError as error:
            assert error.code == 404
            return []

    def fetched_blobs(self, repository: str) -> list[str]:
        """Returns the digest of each blob that was fetched so far, in hexadecimal."""
        pattern = rf'"GET /v2/{re.escape(repository)}/blobs/sha256:([0-9a-f]+) [^"]*" 200 '
        return re.findall(pattern, self._read_log())

    def fetched_manifests(self, repository: str) -> list[str]:
        """Returns the reference of each manifest or index that was fetched so far."""
        return re.findall(rf'"GET /v2/{re.escape(repository)}/manifests/(\S+) [^"]*" 200 ', self._read_log())

    def mounted_blobs(self, repository: str) -> list[str]:
        """Returns the digest of each blob that was mounted from another repository so far, in hexadecimal."""
        pattern = rf'"POST /v2/{re.escape(repository)}/blobs/uploads/\?\S*mount=sha256(?:%3A|:)([0-9a-f]+)[^"]*" 201 '
        return re.findall(pattern, self._read_log())

    def list_clients(self) -> list[str]:
        """Returns the address from which each request came so far."""
        return re.findall(r'^(\S+) - - \[[^\]]*\] "', self._read_log(), re.MULTILINE)

    def _read_log(self) -> str:
        return self._log.read_text(errors="replace")

    def uploads(self, repository: str) -> list[str]:
        """Returns the digest of each blob upload so far."""
        pattern = rf'"PUT /v2/{re.escape(repository)}/blobs/uploads/[^" ]*digest=sha256(?:%3A|:)([0-9a-f]+)[^"]*" 201 '
        return re.findall(pattern, self._read_log())


@contextlib.contextmanager
def serve(
    directory: pathlib.Path,
    *,
    has_password: bool = False,
    address: str = "127.0.0.1",
    tls: Mapping[str, object] | None = None,
    token: Mapping[str, str] | None = None,
) -> Iterator[Registry]:
    """Runs a registry during the block.

    Args:
      directory: the directory in which it keeps its files.
      has_password: whether only the user `user` with the password `secret` has access.
      address: its address.
      tls: the settings of HTTPS, such as `certificate` and `key`; None for plain HTTP.
      token: the settings of a token server; None for none.
    """
    command, log = (
        _prepare(directory, f"{address}:0", has_password=has_password, tls=tls, token=token),
        directory / "registry.log",
    )
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        end = time.monotonic() + _START
        while not (match := _LISTENING.search(log.read_text())):
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        context = None
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        yield Registry(match[1], log, process, context)
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def serve_inside(directory: pathlib.Path, machine: Machine, port: int) -> Iterator[Registry]:
    """Runs a registry in a machine during the block. Of the result, only what reads the log can be used.

    Args:
      directory: the directory in which it keeps its files.
      machine: the machine.
      port: the port on the loopback interface of the machine.
    """
    log = directory / "registry.log"
    command = _prepare(directory, f"127.0.0.1:{port}")
    with run_daemon(command, log, lambda: _LISTENING.search(log.read_text()) is not None, machine):
        yield Registry(f"localhost:{port}", log)


def _prepare(
    directory: pathlib.Path,
    address: str,
    *,
    has_password: bool = False,
    tls: Mapping[str, object] | None = None,
    token: Mapping[str, str] | None = None,
) -> list[str]:
    """Writes the configuration of a registry, and returns its command.

    Args:
      directory: the directory in which it keeps its files.
      address: the address; port 0 stands for a free port.
      has_password: as for serve().
      tls: as for serve().
      token: as for serve().
    """
    config = directory / "registry.json"
    # JSON is valid YAML.
    settings: dict[str, object] = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(directory / "registry")}},
        "http": {"addr": address} | ({"tls": tls} if tls else {}),
    }
    if has_password:
        (directory / "htpasswd").write_text(_HTPASSWD)
        settings["auth"] = {"htpasswd": {"realm": "registry", "path": str(directory / "htpasswd")}}
    if token:
        settings["auth"] = {"token": token}
    config.write_text(json.dumps(settings))
    return [require.tool("docker-registry"), "serve", str(config)]
