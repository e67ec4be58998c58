"""Runs crane or skopeo to read manifests and blobs of registries. Both keep the bytes.

Credentials, proxies and mirrors are those that the client finds. What it prints is not believed: documents and blobs are verified
against their digests, and no more bytes are read than a descriptor says.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.diagnostics.programs import IDLE_LIMIT, HangingError, Program, format_last_lines, read_end

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

KINDS = ("crane", "skopeo")
"""The clients, the preferred one first."""

_CHUNK = 1 << 20
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


class RegistryError(Exception):
    """A client has not fetched something; the message is the end of a sentence that says why."""


def choose_client(settings: str, kind: str = "", program: str = "") -> RegistryClient:
    """Returns the client of an action.

    Args:
      settings: the path of the client.json that rules/private/client_repository.bzl writes; it need not exist.
      kind: which program `program` is.
      program: the path of a program that a toolchain names; "" for the one in `settings`, or else on PATH.

    Raises:
      RegistryError: there is no client.
    """
    try:
        with open_regular(settings) as file:
            values = json.load(file)
    except (OSError, ValueError):
        values = {"environment": {}, "kind": "", "kinds": KINDS, "path": ""}
    environment = values["environment"]
    if program:
        return RegistryClient(kind, os.path.abspath(program), environment)
    if not values["kinds"] or os.access(values["path"], os.X_OK):
        return RegistryClient(values["kind"], values["path"], environment)
    return find_client(environment, values["kinds"])


def find_client(environment: Mapping[str, str], kinds: Sequence[str] = KINDS) -> RegistryClient:
    """Returns the first client that is on PATH.

    Args:
      environment: the environment variables of the client.
      kinds: the clients to search.

    Raises:
      RegistryError: there is no client.
    """
    for kind in kinds:
        if path := shutil.which(kind, path=environment.get("PATH") or _DEFAULT_PATH):
            return RegistryClient(kind, path, environment)
    raise RegistryError(f"no client for registries on PATH; install {' or '.join(kinds)}")


class RegistryClient(NamedTuple):
    """A program that reads registries.

    Attributes:
      kind: "crane" or "skopeo".
      path: its path.
      environment: its environment variables. Without HOME, it gets the home directory of the user.
    """

    kind: str
    path: str
    environment: Mapping[str, str]

    def fetch_blob(
        self,
        output: BinaryIO,
        image: str,
        manifest_digest: str,
        digest: str,
        size: int,
        *,
        is_config: bool = False,
        insecure: bool,
    ) -> None:
        """Fetches a layer or a config, and verifies its digest and size.

        Args:
          output: the file that gets the bytes.
          image: the repository in the registry.
          manifest_digest: the digest of a manifest that has the blob.
          digest: the digest of the blob.
          size: its size in bytes.
          is_config: whether it is the config.
          insecure: whether to allow plain HTTP, and certificates that cannot be verified.

        Raises:
          RegistryError: the client has not fetched it, or something else.
        """
        hashed = hashlib.sha256()
        if self.kind == "crane":
            flags = ["--insecure"] if insecure else []
            received = self._copy_stdout([*flags, "blob", f"{image}@{digest}"], output, hashed, size, digest)
        elif is_config:
            flags = ["--tls-verify=false"] if insecure else []
            arguments = ["inspect", "--raw", "--config", *flags, f"docker://{image}@{manifest_digest}"]
            received = self._copy_stdout(arguments, output, hashed, size, digest)
        else:
            received = self._copy_skopeo_layer(output, hashed, f"docker://{image}@{manifest_digest}", digest, size, insecure)
        if (received, hashed.hexdigest()) != (size, digest.removeprefix("sha256:")):
            what = f"{received} bytes with digest sha256:{hashed.hexdigest()}; the manifest says {size} bytes"
            raise RegistryError(f"{self.kind} has fetched something else for {digest}: {what}")

    def find_digest(self, reference: str, *, insecure: bool) -> str:
        """Returns the digest that a tag has.

        Args:
          reference: the image with its tag.
          insecure: whether to allow plain HTTP, and certificates that cannot be verified.

        Raises:
          RegistryError: the client has not fetched the manifest.
        """
        return f"sha256:{hashlib.sha256(self.fetch_manifest(reference, insecure=insecure)).hexdigest()}"

    def fetch_manifest(self, reference: str, *, insecure: bool, digest: str = "") -> bytes:
        """Returns the bytes of a manifest or an index.

        Args:
          reference: the image with its tag or its digest.
          insecure: whether to allow plain HTTP, and certificates that cannot be verified.
          digest: the digest of the document; "" if it is not known.

        Raises:
          RegistryError: the client has not fetched it, or something else.
        """
        if self.kind == "crane":
            arguments = [*(["--insecure"] if insecure else []), "manifest", reference]
        else:
            arguments = ["inspect", "--raw", *(["--tls-verify=false"] if insecure else []), f"docker://{reference}"]
        output, hashed = io.BytesIO(), hashlib.sha256()
        self._copy_stdout(arguments, output, hashed, limits.JSON, reference)
        if digest and hashed.hexdigest() != digest.removeprefix("sha256:"):
            raise RegistryError(f"{self.kind} has fetched something else for {digest}")
        return output.getvalue()

    def _copy_stdout(self, arguments: Sequence[str], output: BinaryIO, hashed: hashlib._Hash, size: int, what: str) -> int:
        """Copies what the client prints; returns the number of bytes."""
        received = 0
        with tempfile.TemporaryFile() as errors, self._start(arguments, subprocess.PIPE, errors) as program:
            stdout = program.process.stdout
            assert stdout
            while received <= size and (data := stdout.read(_CHUNK)):
                received += len(data)
                hashed.update(data)
                output.write(data)
            if received > size:
                raise RegistryError(f"{self.kind} has fetched more than {size} bytes for {what}")
            self._wait(program, errors, what)
        return received

    def _copy_skopeo_layer(
        self, output: BinaryIO, hashed: hashlib._Hash, reference: str, digest: str, size: int, insecure: bool
    ) -> int:
        """Copies a layer that skopeo writes into a directory; returns the number of bytes."""
        flags = ["--tls-verify=false"] if insecure else []
        received = 0
        with tempfile.TemporaryDirectory(prefix="layer-", dir=os.path.dirname(output.name) or ".") as directory:
            with tempfile.TemporaryFile() as errors:
                arguments = ["layers", *flags, reference, digest]
                with self._start(arguments, errors, errors, directory, max(size, limits.JSON)) as program:
                    self._wait(program, errors, digest)
            name = digest.removeprefix("sha256:")
            paths = [os.path.join(directory, entry, name) for entry in os.listdir(directory)]
            path = next(filter(os.path.isfile, paths), "")
            if not path:
                raise RegistryError(f"skopeo has not written {digest}")
            with open_regular(path) as file:
                while data := file.read(_CHUNK):
                    received += len(data)
                    hashed.update(data)
                    output.write(data)
        return received

    def _start(
        self, arguments: Sequence[str], stdout: int | BinaryIO, stderr: BinaryIO, directory: str | None = None, file_size: int = 0
    ) -> Program:
        """Starts the client.

        Args:
          arguments: its arguments.
          stdout: where its standard output goes.
          stderr: where its standard error goes.
          directory: its working directory; None for that of this process.
          file_size: the largest file that it may write, in bytes; 0 for no limit.
        """
        environment = {**_find_home(), "PATH": _DEFAULT_PATH, **self.environment}
        # The shell's unit is 512 bytes.
        limit = ["/bin/sh", "-c", 'ulimit -f "$0" && exec "$@"', str(file_size // 512 + 1)] if file_size else []
        try:
            command = [*limit, self.path, *arguments]
            return Program(command, IDLE_LIMIT, stdout=stdout, stderr=stderr, directory=directory, environment=environment)
        except OSError as error:
            raise RegistryError(f"{self.path} cannot be run: {error.strerror}") from None

    def _wait(self, program: Program, errors: BinaryIO, what: str) -> None:
        """Waits for the client.

        Args:
          program: the client.
          errors: the file that gets its messages.
          what: what it fetches.

        Raises:
          RegistryError: it has failed, or hangs.
        """
        try:
            status = program.wait()
        except HangingError as error:
            raise RegistryError(f"{self.kind} has not fetched {what}: it {error}") from None
        if status:
            reason = format_last_lines(read_end(errors)) or f"exit code {status}"
            raise RegistryError(f"{self.kind} has not fetched {what}: {reason}")


def _find_home() -> dict[str, str]:
    """Returns the variable HOME of this user; nothing for a user whom the system does not know, as in some containers."""
    try:
        return {"HOME": pwd.getpwuid(os.getuid()).pw_dir}
    except KeyError:
        return {}
