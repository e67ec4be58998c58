"""Runs the user's client for registries: it uploads blobs and manifests, and moves tags."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.delivery.errors import DeliveryError, InterruptedReleaseError, TransientError
from rules_setcap.oci.blobs import blob_path
from rules_setcap.oci.layout_writer import write_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

_KEPT_OUTPUT = 1 << 16
"""Bytes of the messages of a client that are read, from their end."""
_TRANSIENT = re.compile(
    r"TOOMANYREQUESTS|too many requests|Too Many Requests|\b(408|425|429|500|502|503|504)\b|timeout|timed out|connection re(set|fused)"
    r"|unexpected EOF|: EOF|broken pipe|server closed|temporar|no route to host|network is unreachable|UNAVAILABLE",
    re.IGNORECASE,
)
"""A pattern of the messages of clients about errors that may pass."""


class _Commands(NamedTuple):
    """How a client is called.

    Attributes:
      push: returns the arguments that push an OCI layout directory. Its own arguments: the path of the layout, the reference, and
        whether the connection may be insecure.
      tag: returns the arguments that give an image a tag. Its own arguments: the repository, the digest, the tag, and whether the
        connection may be insecure.
    """

    push: Callable[[str, str, bool], list[str]]
    tag: Callable[[str, str, str, bool], list[str]]


def _push_by_crane(layout: str, reference: str, insecure: bool) -> list[str]:
    return [*(["--insecure"] if insecure else []), "push", layout, reference]


def _tag_by_crane(repository: str, digest: str, tag: str, insecure: bool) -> list[str]:
    return [*(["--insecure"] if insecure else []), "tag", f"{repository}@{digest}", tag]


def _push_by_skopeo(layout: str, reference: str, insecure: bool) -> list[str]:
    flags = ["--dest-tls-verify=false"] if insecure else []
    return ["copy", "--all", "--preserve-digests", "--quiet", *flags, f"oci:{layout}", f"docker://{reference}"]


def _tag_by_skopeo(repository: str, digest: str, tag: str, insecure: bool) -> list[str]:
    flags = ["--src-tls-verify=false", "--dest-tls-verify=false"] if insecure else []
    source, target = f"docker://{repository}@{digest}", f"docker://{repository}:{tag}"
    return ["copy", "--all", "--preserve-digests", "--quiet", *flags, source, target]


COMMANDS = {"crane": _Commands(_push_by_crane, _tag_by_crane), "skopeo": _Commands(_push_by_skopeo, _tag_by_skopeo)}
"""The clients, the preferred one first."""


class Uploader:
    """Runs a client for registries, in several threads. Errors of the client are DeliveryError or TransientError."""

    def __init__(self, name: str, path: str, directory: str) -> None:
        """Creates an instance.

        Args:
          name: the name of the client, a key of COMMANDS.
          path: its path.
          directory: a directory for temporary files.
        """
        self._name, self._path, self._directory = name, path, directory
        self._commands = COMMANDS[name]
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._is_stopped = False

    def push(
        self,
        reference: str,
        descriptor: Mapping[str, Any],
        documents: Mapping[str, bytes],
        blobs: Mapping[str, str],
        *,
        insecure: bool,
    ) -> None:
        """Pushes an image by a sparse layout, which has only the blobs that travel.

        Args:
          reference: the repository with the digest.
          descriptor: the descriptor of the manifest or index.
          documents: manifests, indexes and configs by digest.
          blobs: the paths of the blobs that the registry lacks, by digest.
          insecure: whether the connection may be insecure.
        """
        with tempfile.TemporaryDirectory(dir=self._directory) as layout:
            links = {blob_path(layout, digest): path for digest, path in blobs.items() if digest not in documents}
            write_layout(layout, links, documents, descriptor)
            self._run(self._commands.push(layout, reference, insecure), f"has not pushed {reference}")

    def tag(self, repository: str, digest: str, tag: str, *, insecure: bool) -> None:
        """Gives an image of a repository a tag."""
        self._run(self._commands.tag(repository, digest, tag, insecure), f"has not tagged {repository}:{tag}")

    def stop(self) -> None:
        """Ends the running processes; no other can be started."""
        with self._lock:
            self._is_stopped = True
            for process in self._processes:
                process.terminate()

    def _run(self, arguments: Sequence[str], failure: str) -> None:
        with tempfile.TemporaryFile(dir=self._directory) as output:
            with self._lock:
                if self._is_stopped:
                    raise InterruptedReleaseError("interrupted")
                process = subprocess.Popen(
                    [self._path, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=output
                )
                self._processes.add(process)
            try:
                status = process.wait()
            finally:
                with self._lock:
                    self._processes.discard(process)
            if self._is_stopped:
                raise InterruptedReleaseError("interrupted")
            if status:
                text = _read_end(output.fileno())
                lines = [line for line in text.splitlines() if line.strip()]
                message = f"{self._name} {failure} (exit code {status}): {lines[-1][:2000] if lines else 'no message'}"
                raise (TransientError if _TRANSIENT.search(text) else DeliveryError)(message)


def _read_end(descriptor: int) -> str:
    """Returns the end of what a client has written."""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, _KEPT_OUTPUT, max(0, size - _KEPT_OUTPUT)).decode(errors="replace")
