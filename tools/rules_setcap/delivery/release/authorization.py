"""Asks the user's client for the authorization of requests to a registry. Credentials are its business."""

from __future__ import annotations

import base64
import json
import threading
from typing import TYPE_CHECKING

from rules_setcap.delivery.errors import UnreadableRegistryError
from rules_setcap.diagnostics.programs import HangingError, format_last_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.delivery.release.running_programs import RunningPrograms

_TIMEOUT = 120.0
"""The longest time that the client may take, in seconds: a credential helper may ask the user."""


class Authorizer:
    """The values of the header Authorization. They are kept in memory only."""

    def __init__(self, crane: str, programs: RunningPrograms, *, insecure: bool) -> None:
        """Creates an instance.

        Args:
          crane: the path of crane; "" if the client is another one, which gives no tokens.
          programs: runs crane.
          insecure: whether crane may use plain HTTP.
        """
        self._programs = programs
        self._command = [crane, *(["--insecure"] if insecure else [])] if crane else []
        self._headers: dict[tuple[str, bool, str], str] = {}
        self._host_headers: dict[str, str] = {}
        self._locks: dict[tuple[str, bool, str], threading.Lock] = {}
        self._lock = threading.Lock()

    def find(self, repository: str, push: bool, mount: str) -> str:
        """Returns the header for a repository, if an earlier request has needed one; otherwise ""."""
        with self._lock:
            header = self._headers.get((repository, push, mount), "")
            return header or self._host_headers.get(repository.partition("/")[0], "")

    def request(self, repository: str, push: bool, mount: str, challenge: str, refused: str) -> str:
        """Returns the header that a registry demands.

        Args:
          repository: the repository, with its host.
          push: whether the request writes.
          mount: the repository of which a blob is mounted; "" for none.
          challenge: the header WWW-Authenticate of the registry.
          refused: the header that the registry has refused; "" if the request had none.

        Raises:
          UnreadableRegistryError: the client does not have it.
        """
        key = repository, push, mount
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:  # One call of the client serves all threads.
            header = self.find(*key)
            if header and header != refused:
                return header
            kind = challenge.partition(" ")[0].lower()
            if not self._command or kind not in ("basic", "bearer"):
                raise UnreadableRegistryError("skopeo gives no credentials")
            host = repository.partition("/")[0]
            if kind == "basic":
                if refused:
                    raise UnreadableRegistryError(f"{host} refuses the credentials of the client")
                answer = self._run(["auth", "get", host])
                secret = f"{answer.get('Username', '')}:{answer.get('Secret', '')}"
                header = f"Basic {base64.b64encode(secret.encode()).decode()}"
                with self._lock:
                    self._host_headers[host] = header
            else:
                scopes = [*(["--push"] if push else []), *([f"--mount={mount}"] if mount else [])]
                answer = self._run(["auth", "token", *scopes, repository])
                header = f"Bearer {answer.get('token') or answer.get('access_token') or ''}"
                with self._lock:
                    self._headers[key] = header
            return header

    def _run(self, arguments: Sequence[str]) -> dict[str, str]:
        """Returns the JSON object that crane prints."""
        what = f"crane {arguments[0]} {arguments[1]}"
        try:
            outcome = self._programs.call([*self._command, *arguments], None, min(_TIMEOUT, self._programs.limit))
        except HangingError as error:
            raise UnreadableRegistryError(f"{what} {error}") from None
        except OSError as error:
            raise UnreadableRegistryError(f"{what} cannot be started: {error.strerror}") from None
        try:
            answer = json.loads(outcome.output)
        except ValueError:
            answer = None
        if outcome.status or not isinstance(answer, dict):
            lines = format_last_lines(outcome.messages)
            raise UnreadableRegistryError(f"{what} gives no authorization{f': {lines}' if lines else ''}")
        return answer
