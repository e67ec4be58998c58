"""Keeps the layers that actions fetch in one directory, so that no two actions fetch the same layer.

The actions are those that fetch a layer which Bazel knows as an output, and those that search in the layers from the highest
one down, of which Bazel does not know beforehand what they fetch. Both run on this machine. The directory is in the output
tree, and no action depends on it: a layer is taken from there only if it has the digest that is fetched, so the result is the
same without the directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.bases.registry_client import RegistryError, choose_client
from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.diagnostics.files import open_new_file, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from rules_setcap.actions.arguments import Arguments

_CHUNK = 1 << 20


class LayerStore(NamedTuple):
    """A directory of layers of an image in a registry.

    Attributes:
      directory: its path.
      image: the repository in the registry.
      manifest_digest: the digest of the manifest of the image.
      is_insecure: whether to allow plain HTTP, and certificates that cannot be verified.
      settings: the path of the client.json that rules/private/client_repository.bzl writes.
      kind: which program `program` is.
      program: the path of a program that a toolchain names; "" if there is none.
    """

    directory: str
    image: str
    manifest_digest: str
    is_insecure: bool
    settings: str
    kind: str
    program: str

    @classmethod
    def take_from(cls, arguments: Arguments) -> Self:
        """Returns the store that the flags of an action describe."""
        return cls(
            directory=arguments.take_value("store"),
            image=arguments.take_value("image"),
            manifest_digest=arguments.take_value("manifest"),
            is_insecure=arguments.take_value("insecure") == "yes",
            settings=arguments.take_value("client"),
            kind=arguments.take_value("kind", ""),
            program=arguments.take_value("program", ""),
        )

    def fetch_layer(self, digest: str, size: int) -> str:
        """Fetches a layer if the directory does not have it; returns its path.

        Args:
          digest: the digest of the layer.
          size: its size in bytes.

        Raises:
          InputError: the client has not fetched the layer.
          OSError: the layer cannot be written.
        """
        os.makedirs(self.directory, exist_ok=True)
        path = os.path.join(self.directory, digest.removeprefix("sha256:"))
        with _lock(path + ".lock"):
            if not _has_digest(path, digest, size):
                try:
                    client = choose_client(self.settings, self.kind, self.program)
                    with open_new_file(path) as file:
                        client.fetch_blob(file, self.image, self.manifest_digest, digest, size, insecure=self.is_insecure)
                except RegistryError as error:
                    raise InputError([format_problem("image", self.image, str(error))]) from None
        return path


def link_layer(path: str, output: str) -> None:
    """Makes a layer of the store an output of an action. It takes no space."""
    try:
        os.link(path, output)
    except OSError:  # The file system does not support hard links.
        with open_regular(path) as source, open_new_file(output) as file:
            shutil.copyfileobj(source, file, _CHUNK)


@contextlib.contextmanager
def _lock(path: str) -> Iterator[None]:
    """Waits until no other process is in such a block for the same path. The end of a process ends its block."""
    with open(path, "wb") as file:
        with contextlib.suppress(OSError):  # The file system does not support locks; then a layer may be fetched twice.
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _has_digest(path: str, digest: str, size: int) -> bool:
    """Returns whether a file exists and has a digest and a size."""
    hashed = hashlib.sha256()
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size != size:
                return False
            while data := file.read(_CHUNK):
                hashed.update(data)
    except OSError:
        return False
    return hashed.hexdigest() == digest.removeprefix("sha256:")
