"""Runs the user's client for registries: it uploads blobs and manifests, moves tags, and reads what we cannot read ourselves."""

from __future__ import annotations

import re
import tempfile
from typing import TYPE_CHECKING

from rules_setcap.delivery.errors import DeliveryError, TransientError, UnansweredError, UnreadableRegistryError
from rules_setcap.delivery.registry_commands import COMMANDS
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.programs import HangingError, format_last_lines
from rules_setcap.oci.blobs import blob_path
from rules_setcap.oci.descriptors import compute_digest
from rules_setcap.oci.layout_writer import write_layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from rules_setcap.delivery.release.running_programs import Outcome, RunningPrograms

_TRANSIENT = re.compile(
    r"TOOMANYREQUESTS|too many requests|Too Many Requests|\b(408|425|429|500|502|503|504)\b|timeout|timed out|connection re(set|fused)"
    r"|unexpected EOF|: EOF|broken pipe|server closed|temporar|no route to host|network is unreachable|UNAVAILABLE|blob[ _]unknown",
    re.IGNORECASE,
)
"""A pattern of the messages of clients about errors that may pass. docker-registry does not know a blob for a moment while somebody
else uploads it, too, and registries with several servers may know it later."""
_MISSING = re.compile(r"MANIFEST_UNKNOWN|NAME_UNKNOWN|manifest unknown|name unknown|404 Not Found|status code 404", re.IGNORECASE)
"""A pattern of their messages about a manifest that the registry does not have."""
_FORBIDDEN = re.compile(r"unauthorized|denied|401 |403 |forbidden", re.IGNORECASE)
"""A pattern of their messages about what the user may not read. Some registries say so of what does not exist."""
_UNTRUSTED = re.compile(r"x509: ")
"""A pattern of their messages about certificates."""


class Uploader:
    """Runs a client for registries, in several threads. Errors of the client are DeliveryError or TransientError."""

    def __init__(self, name: str, path: str, directory: str, programs: RunningPrograms) -> None:
        """Creates an instance.

        Args:
          name: the name of the client, a key of COMMANDS.
          path: its path.
          directory: a directory for temporary files.
          programs: runs the client.
        """
        self.name = name
        self._path, self._directory, self._programs = path, directory, programs
        self._commands = COMMANDS[name]

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
            what = f"has not pushed {reference}"
            self._check(self._call(self._commands.push(layout, reference, insecure, ""), what), what)

    def tag(self, repository: str, digest: str, tag: str, *, insecure: bool) -> None:
        """Gives an image of a repository a tag."""
        what = f"has not tagged {repository}:{tag}"
        self._check(self._call(self._commands.tag(repository, digest, tag, insecure), what), what)

    def find_manifest(self, reference: str, *, insecure: bool) -> str:
        """Returns the digest of a manifest or an index; "" if the registry does not have it.

        Raises:
          UnreadableRegistryError: the user may not read it, or it does not exist.
        """
        what = f"has not read {reference}"
        outcome = self._call(self._commands.read(reference, insecure), what)
        if outcome.status and _MISSING.search(outcome.messages):
            return ""
        if outcome.status and _FORBIDDEN.search(outcome.messages):
            raise UnreadableRegistryError(f"{self.name} may not read {reference}")
        self._check(outcome, what)
        if len(outcome.output) > limits.JSON:
            raise DeliveryError(f"{self.name} {what}: it has more than {limits.JSON} bytes (limit JSON)")
        return compute_digest(outcome.output)

    def _call(self, arguments: Sequence[str], what: str) -> Outcome:
        """Runs the client.

        Args:
          arguments: its arguments.
          what: what it has not done if it hangs, for the message.
        """
        try:
            return self._programs.call([self._path, *arguments], self._directory)
        except HangingError as error:
            raise UnansweredError(f"{self.name} {what}: it {error}; --timeout sets this limit") from None

    def _check(self, outcome: Outcome, what: str) -> None:
        """Raises an error if the client has failed."""
        if outcome.status:
            lines = format_last_lines(outcome.messages) or "no message"
            hint = "; set SSL_CERT_FILE to its certificate authority" if _UNTRUSTED.search(outcome.messages) else ""
            message = f"{self.name} {what} (exit code {outcome.status}): {lines}{hint}"
            raise (TransientError if _TRANSIENT.search(outcome.messages) else DeliveryError)(message)
