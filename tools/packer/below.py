"""Reads the layers below a layer from their blobs, and verifies each against its digest."""

from __future__ import annotations

import contextlib
from collections import namedtuple

from . import base, differences, files
from .archive import Archive, ArchiveError
from .decompress import LAYERS, Decompressed, DecompressionError
from .errors import InputError, problem
from .rootfs import Tree
from .work import Work

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


def tree(blobs: Iterable[Blob], work: Work) -> Tree:
    """Returns the merged root filesystem of layers.

    Args:
      blobs: the layers, the lowest first.
      work: counts what is read.

    Raises:
      InputError: a blob is not a valid layer, or not what its descriptor says.
    """
    made, blobs = Tree(), list(blobs)
    for number, blob in enumerate(blobs):
        with entries(blob, work) as archive:
            made.apply(archive, number, blob.descriptor["size"])
    return as_unpacked(made, blobs)


def as_unpacked(tree: Tree, blobs: Sequence[Blob]) -> Tree:
    """Returns the root filesystem that containerd unpacks, or the first engine that takes the layers.

    Args:
      tree: computed from the layers; it is returned if engines do not differ about them.
      blobs: the layers, the lowest first.

    Raises:
      InputError: no engine takes the layers.
    """
    if not tree.unusual:
        return tree
    layers, work = [], Work()
    for blob in blobs:
        with entries(blob, work) as archive:
            layers.append(differences.brief(archive))
    try:
        return differences.unpack(layers, first=True)[0]
    except ArchiveError as error:
        raise InputError([problem("base", blobs[0].where, str(error))]) from None


@contextlib.contextmanager
def entries(blob: Blob, work: Work) -> Iterator[Archive]:
    """Yields the entries of a layer; when the block ends, all of the blob has been read and verified.

    Args:
      blob: the layer.
      work: counts what is read of all layers of an image together.

    Raises:
      InputError: it is not a valid layer, or not what its descriptor says.
    """
    with base.Verified(blob.path, blob.descriptor, blob.where) as file:
        try:
            stream = Decompressed(file, work)
            if stream.codec not in LAYERS:
                # Docker and podman read such a layer, containerd takes it for a damaged tar.
                what = f"compressed by {stream.codec}, which containerd does not read in layers; compress it by gzip or zstd"
                raise DecompressionError(what)
            yield Archive(stream)
        except (ArchiveError, DecompressionError) as error:
            what = f"layer {blob.descriptor['digest']}: {error}"
            raise InputError([problem("base", blob.where, what)]) from None
