"""Asks a registry what it has: by requests of our own, or by the user's client where we cannot ask."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rules_setcap.delivery.errors import UnreadableRegistryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rules_setcap.delivery.release.registry import Registry
    from rules_setcap.delivery.release.retries import Retries
    from rules_setcap.delivery.release.uploads import Uploader


class RegistryAccess:
    """A registry that is read.

    Our requests cost little, and can ask for blobs. The client may be able to do what they cannot: it has the user's credentials,
    proxies, mirrors and certificates.
    """

    def __init__(
        self,
        host: str,
        registry: Registry,
        uploader: Uploader,
        retries: Retries,
        report: Callable[[str], None],
        *,
        insecure: bool,
    ) -> None:
        """Creates an instance.

        Args:
          host: the host of the registry.
          registry: sends our requests.
          uploader: runs the client.
          retries: retries the client.
          report: prints a line.
          insecure: whether the connection of the client may be insecure.
        """
        self._host, self._registry, self._uploader, self._retries = host, registry, uploader, retries
        self._report, self._insecure = report, insecure
        self._lock = threading.Lock()
        self._reported: set[str] = set()

    @property
    def mounts(self) -> bool:
        """Whether the registry mounts blobs, as far as is known."""
        return self._registry.mounts

    def find_manifest(self, repository: str, name: str) -> str:
        """Returns the digest of a manifest or index; "" if the repository does not have it.

        Args:
          repository: the repository, with its host.
          name: a tag or a digest.

        Raises:
          UnreadableRegistryError: the client cannot ask the registry either.
          DeliveryError: the registry does not answer, or not as a registry does.
        """
        try:
            return self._registry.find_manifest(repository, name)
        except UnreadableRegistryError as error:
            reason = str(error)
            self._report_once(reason if self._host in reason else f"{self._host}: {reason}")
        reference = f"{repository}{'@' if ':' in name else ':'}{name}"
        return self._retries.call(self._host, lambda: self._uploader.find_manifest(reference, insecure=self._insecure))

    def has_blob(self, repository: str, digest: str) -> bool:
        """Returns whether a repository has a blob; errors are those of Registry."""
        return self._registry.has_blob(repository, digest)

    def mount_blob(self, repository: str, digest: str, source: str) -> bool:
        """Has the registry take a blob from another of its repositories, as Registry does."""
        return self._registry.mount_blob(repository, digest, source)

    def _report_once(self, reason: str) -> None:
        with self._lock:
            if reason in self._reported:
                return
            self._reported.add(reason)
        if len(self._reported) <= 3:
            self._report(f"{reason}; {self._uploader.name} asks instead, and all blobs of changed images must be on this machine")
