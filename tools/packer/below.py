"""The layers below a layer: what they hold, read from their blobs, each verified."""

from __future__ import annotations

import contextlib
from collections import namedtuple

from . import base, files
from .archive import Archive, ArchiveError
from .decompress import Decompressed, DecompressionError
from .errors import InputError, problem
from .rootfs import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator, Sequence

Blob = namedtuple("Blob", ("path", "descriptor", "where"))
"""A layer. path: str, of the file; descriptor: dict, what it is to be; where: str, for messages."""


def of_layout(layout: str, platform: str) -> list[Blob]:
    """The layers of an image in an OCI layout directory, the lowest first.

    Args:
      layout: its path.
      platform: os/architecture/variant of the image.

    Raises:
      InputError: it is not what its digests say.
    """
    words = (platform.split("/") + [""] * 3)[:3]
    image = base.load_layout(layout, dict(zip(("os", "architecture", "variant"), words)))
    return [Blob(base.blob_path(layout, layer["digest"]), layer, layout) for layer in image.manifest["layers"]]


def of_pairs(pairs: Sequence[str]) -> list[Blob]:
    """Layers of this build: `METADATA=BLOB` each, the paths of both."""
    blobs = []
    for pair in pairs:
        metadata, _, blob = pair.partition("=")
        blobs.append(Blob(blob, files.read_json(metadata)["descriptor"], blob))
    return blobs


def tree(blobs: Iterable[Blob]) -> Tree:
    """The root file system that layers make.

    Raises:
      InputError: a blob is no layer, or not what its descriptor says.
    """
    made = Tree()
    for number, blob in enumerate(blobs):
        with entries(blob) as archive:
            made.apply(archive, number)
    return made


@contextlib.contextmanager
def entries(blob: Blob) -> Iterator[Archive]:
    """The entries of a layer; when the block ends, all of the blob has been read and found to be what it is to be.

    Raises:
      InputError: it is not.
    """
    with base.Verified(blob.path, blob.descriptor, blob.where) as file:
        try:
            yield Archive(Decompressed(file))
        except (ArchiveError, DecompressionError) as error:
            what = f"layer {blob.descriptor['digest']}: {error}"
            raise InputError([problem("base", blob.where, what)]) from None
