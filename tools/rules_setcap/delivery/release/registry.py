"""A client that asks a registry which manifests and blobs it has, and has it mount blobs of one repository in another.

OCI distribution-spec, "Pulling manifests", "Checking if content exists in the registry" and "Mounting a blob from another
repository". It reads no blob and writes none; the user's client for registries does that, and has the credentials.

A registry is not trusted: its answers have limits, and no request follows it to another host.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import re
import socket
import ssl
import threading
import time
import urllib.parse
from typing import TYPE_CHECKING

from rules_setcap.delivery.errors import DeliveryError, TransientError, UnansweredError, UnreadableRegistryError
from rules_setcap.delivery.release.answers import exchange
from rules_setcap.delivery.release.connections import list_openers
from rules_setcap.diagnostics.errors import printable, quote
from rules_setcap.oci import manifest_checks, media_types

if TYPE_CHECKING:
    from rules_setcap.delivery.release.answers import Answer
    from rules_setcap.delivery.release.authorization import Authorizer
    from rules_setcap.delivery.release.connections import Opener
    from rules_setcap.delivery.release.retries import Retries

_TIMEOUT = 30.0
"""The longest wait for bytes of a registry, in seconds, if the user sets no shorter one."""
_ANSWER_TIMEOUT = 60.0
"""The longest time for a whole answer, in seconds, likewise."""
_ACCEPT = ", ".join([*media_types.MANIFESTS, *media_types.INDEXES])
_TRANSIENT_STATUSES = (408, 425, 429, 500, 502, 503, 504)


class Registry:
    """A registry. Each thread has its own connection, which is kept open.

    Methods raise TransientError if the registry does not answer, even after retries; UnreadableRegistryError if this client
    cannot ask it; and DeliveryError for other answers.
    """

    def __init__(
        self,
        host: str,
        authorizer: Authorizer,
        retries: Retries,
        *,
        insecure: bool,
        client: str = "crane",
        limit: float = _TIMEOUT,
    ) -> None:
        """Creates a client.

        Args:
          host: the host, with its port.
          authorizer: where the value of the header Authorization comes from.
          retries: retries requests.
          insecure: whether to allow plain HTTP, and certificates that cannot be verified.
          client: the name of the user's client, whose certificates are trusted.
          limit: the longest wait for an answer, in seconds; _TIMEOUT and _ANSWER_TIMEOUT if they are shorter.
        """
        self._host = "index.docker.io" if host == "docker.io" else host
        self._authorizer, self._retries, self._insecure, self._client = authorizer, retries, insecure, client
        self._limit = limit
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: Opener | None = None
        self._unreadable = ""
        self._failure: tuple[float, OSError] = 0.0, OSError()
        self._has_mounts = True

    @property
    def mounts(self) -> bool:
        """Whether the registry mounts blobs, as far as is known."""
        return self._has_mounts and not self._unreadable

    def find_manifest(self, repository: str, name: str) -> str:
        """Returns the digest of a manifest or index; "" if the repository does not have it.

        Args:
          repository: the repository, with its host.
          name: a tag or a digest.
        """
        path = f"/v2/{self._get_path(repository)}/manifests/{name}"
        answer = self._ask("HEAD", path, repository)
        if answer.status == 200 and not answer.headers.get("Docker-Content-Digest"):
            answer = self._ask("GET", path, repository)
            if answer.status == 200 and not answer.body:
                raise DeliveryError(f"{self._host} answers without a manifest for {path}")
        if answer.status in (403, 404):  # Some registries forbid what does not exist.
            return ""
        if answer.status != 200:
            raise self._describe_answer(answer, path)
        digest = answer.headers.get("Docker-Content-Digest") or f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        if not manifest_checks.is_digest(digest) or (":" in name and digest != name):
            raise DeliveryError(f"{self._host} answers with the digest {quote(digest)} for {path}; push to another registry")
        return digest

    def has_blob(self, repository: str, digest: str) -> bool:
        """Returns whether a repository has a blob."""
        path = f"/v2/{self._get_path(repository)}/blobs/{digest}"
        answer = self._ask("HEAD", path, repository)
        # A redirection leads to the storage that has the blob. It is not followed.
        if answer.status in (200, 301, 302, 303, 307, 308):
            return True
        if answer.status in (403, 404):
            return False
        raise self._describe_answer(answer, path)

    def mount_blob(self, repository: str, digest: str, source: str) -> bool:
        """Has the registry take a blob from another of its repositories.

        Args:
          repository: the repository that gets the blob.
          digest: the digest of the blob.
          source: the repository that has it.

        Returns:
          Whether it did.
        """
        query = urllib.parse.urlencode({"mount": digest, "from": self._get_path(source)})
        path = f"/v2/{self._get_path(repository)}/blobs/uploads/"
        answer = self._ask("POST", f"{path}?{query}", repository, push=True, mount=source)
        if answer.status == 201:
            return True
        if answer.status == 202:
            # The registry has begun an upload instead.
            location = urllib.parse.urlsplit(answer.headers.get("Location", ""))
            if location.path.startswith("/v2/") and location.netloc in ("", self._host):
                self._ask("DELETE", urllib.parse.urlunsplit(("", "", *location[2:4], "")), repository, push=True, mount=source)
        self._has_mounts = False
        return False

    def close(self) -> None:
        """Closes the connection of this thread."""
        if connection := getattr(self._local, "connection", None):
            connection.close()

    def _get_path(self, repository: str) -> str:
        path = repository.partition("/")[2]
        return f"library/{path}" if self._host == "index.docker.io" and "/" not in path else path

    def _ask(self, method: str, path: str, repository: str, *, push: bool = False, mount: str = "") -> Answer:
        """Sends a request with the authorization that the registry demands."""

        def ask_once() -> Answer:
            header = self._authorizer.find(repository, push, mount)
            answer = self._send(method, path, header)
            if answer.status == 401:
                challenge = answer.headers.get("WWW-Authenticate", "")
                header = self._authorizer.request(repository, push, mount, challenge, refused=header)
                answer = self._send(method, path, header)
                if answer.status == 401:
                    raise UnreadableRegistryError(f"{self._host} refuses the credentials of the client")
            if answer.status in _TRANSIENT_STATUSES:
                message = f"{self._host} answers with status {answer.status}"
                raise TransientError(message, parse_retry_after(answer.headers.get("Retry-After", "")))
            return answer

        return self._retries.call(self._host, ask_once)

    def _send(self, method: str, path: str, authorization: str) -> Answer:
        """Sends a request; tries again if the registry has closed the connection in the meantime.

        Raises:
          TransientError: the registry does not answer.
        """
        headers = {"Accept": _ACCEPT, "User-Agent": "rules_setcap"}
        if authorization:
            headers["Authorization"] = authorization
        if method == "POST":
            headers["Content-Length"] = "0"
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            try:
                return self._exchange(connection, method, path, headers)
            except (http.client.HTTPException, OSError):
                connection.close()  # The registry closes idle connections.
                self._local.connection = None
        try:
            connection = self._local.connection = self._connect()
            return self._exchange(connection, method, path, headers)
        except (http.client.HTTPException, OSError) as error:
            if connection is not None:
                connection.close()
            self._local.connection = None
            kind = UnansweredError if isinstance(error, TimeoutError) else TransientError
            raise kind(f"{self._host} does not answer: {describe_error(error)}") from None

    def _connect(self) -> http.client.HTTPConnection:
        """Returns a connection, by the first protocol that the registry speaks.

        Raises:
          UnreadableRegistryError: it speaks none that is allowed, or we cannot connect as the client does.
          OSError: the registry cannot be reached.
        """
        began = time.monotonic()
        with self._lock:
            if self._open:
                return self._open()
            if self._unreadable:
                raise UnreadableRegistryError(self._unreadable)
            failed, failure = self._failure
            if failed > began:  # Another thread has tried while this one waited.
                raise failure
            try:
                return self._choose_protocol()
            except OSError as error:
                self._failure = time.monotonic(), error
                raise

    def _choose_protocol(self) -> http.client.HTTPConnection:
        """Returns the first connection to the registry, and keeps the protocol; errors are those of _connect()."""
        errors: list[Exception] = []
        try:
            for opener in list_openers(self._host, self._client, min(_TIMEOUT, self._limit), insecure=self._insecure):
                if self._speaks(opener, errors):
                    self._open = opener
                    return opener()
        except UnreadableRegistryError as error:
            errors.append(error)
        if any(isinstance(error, ConnectionError) for error in errors):
            raise ConnectionError(", ".join(map(describe_error, errors)))
        self._unreadable = f"{self._host}: {', '.join(map(describe_error, errors)) or 'it does not speak HTTP'}"
        raise UnreadableRegistryError(self._unreadable)

    def _speaks(self, opener: Opener, errors: list[Exception]) -> bool:
        """Returns whether the registry speaks a protocol; adds the error if there is one.

        Raises:
          UnreadableRegistryError: another protocol does not help either.
          OSError: the registry cannot be reached.
        """
        # Proxies may close a connection after the first answer, so requests have another.
        with contextlib.closing(opener()) as connection:
            try:
                answer = self._exchange(connection, "GET", "/v2/", {"User-Agent": "rules_setcap"})
            except (ssl.SSLError, http.client.HTTPException) as error:
                errors.append(error)
                return False
            except socket.gaierror as error:
                if error.errno != socket.EAI_NONAME:
                    raise
                raise UnreadableRegistryError(f"no address of {connection.host} is known") from None
            except OSError as error:
                # http.client, HTTPConnection._tunnel
                if re.match(r"Tunnel connection failed: 4\d\d", str(error)):
                    raise UnreadableRegistryError(f"the proxy refuses: {describe_error(error)}") from None
                raise
        return answer.status != 400  # The answer of an HTTPS server to plain HTTP.

    def _exchange(self, connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]) -> Answer:
        return exchange(connection, method, path, headers, min(_ANSWER_TIMEOUT, self._limit))

    def _describe_answer(self, answer: Answer, path: str) -> DeliveryError:
        """Returns the error for an answer that the specification does not have."""
        if 300 <= answer.status < 400:
            return UnreadableRegistryError(f"{self._host} redirects {path}")
        return DeliveryError(f"{self._host} answers with status {answer.status} for {path}")


def parse_retry_after(text: str) -> float | None:
    """Returns the number of seconds that a header Retry-After demands; None if it demands none, or is not valid."""
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def describe_error(error: Exception) -> str:
    """Returns a sentence about an error of a connection."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, http.client.RemoteDisconnected):
        return "it closed the connection"
    if isinstance(error, http.client.BadStatusLine):
        return "it does not speak HTTP"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return printable(str(error)[:200]) or type(error).__name__
