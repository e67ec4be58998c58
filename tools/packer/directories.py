"""The directories that the layers below have: those need no entry of their own."""

from __future__ import annotations

import gzip
import json
import posixpath
import tarfile
import zlib

from . import base
from .errors import InputError, problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence


class Below:
    """The layers below a layer: metadata of those built here, and the layout of a base."""

    def __init__(self, metadata: Sequence[str], layout: str, platform: str) -> None:
        """
        Args:
          metadata: paths of metadata files.
          layout: an OCI layout directory, or "".
          platform: os/architecture/variant of the image in it.
        """
        self._metadata, self._layout, self._platform = metadata, layout, platform

    def load(self) -> set[str]:
        """The directories, absolute; a later layer may have replaced or removed some, which are then not among them.

        Raises:
          InputError: the base is not what its digests say.
          OSError: it cannot be read.
        """
        found: set[str] = set()
        if self._layout:
            self._read_base(found)
        for path in self._metadata:
            with open(path, encoding="utf-8") as file:
                found.update(json.load(file)["directories"])
        return found

    def _read_base(self, found: set[str]) -> None:
        words = (self._platform.split("/") + [""] * 3)[:3]
        image = base.load_layout(self._layout, dict(zip(("os", "architecture", "variant"), words)))
        for layer in image.manifest["layers"]:
            path = base.blob_path(self._layout, layer["digest"])
            with base.Verified(path, layer, self._layout) as blob:
                try:
                    _apply(blob, layer["mediaType"], found)
                except (EOFError, ValueError, OSError, ArithmeticError, tarfile.TarError, zlib.error) as error:
                    what = f"layer {layer['digest']} cannot be read: {error or type(error).__name__}"
                    raise InputError([problem("base", self._layout, what)]) from None


def _apply(blob: base.Verified, media_type: str, found: set[str]) -> None:
    """Applies a layer to the directories (OCI image-spec, "Applying Changesets")."""
    stream: Any = blob
    if media_type.endswith("+gzip"):
        stream = gzip.GzipFile(fileobj=stream)
    elif media_type.endswith("+zstd"):
        from compression import zstd

        stream = zstd.ZstdFile(stream)
    own: set[str] = set()
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for entry in archive:
            path = "/" + posixpath.normpath("/" + entry.name).lstrip("/")
            parent, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                _forget(found, parent + "/")
            elif name.startswith(".wh."):
                _forget(found, f"{parent}/{name[4:]}/")
                found.discard(f"{parent}/{name[4:]}")
            elif entry.isdir():
                own.add(path)
            else:
                _forget(found, path + "/")
                found.discard(path)
    found |= own


def _forget(found: set[str], prefix: str) -> None:
    """Forgets what is below a directory that a layer hides."""
    found.difference_update([path for path in found if path.startswith(prefix)])
