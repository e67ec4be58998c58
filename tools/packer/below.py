"""Reads the layers below a layer from their blobs, and verifies each against its digest."""

from __future__ import annotations

import contextlib
import os
from collections import namedtuple

from . import base, files, limits
from .archive import Archive, ArchiveError
from .decompress import LAYERS, Decompressed, DecompressionError
from .entries import DIRECTORY
from .errors import InputError, problem
from .rootfs import Tree
from .work import Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator, Sequence

    from .archive import Member

CAPABILITY_RECORD = b"SCHILY.xattr.security.capability"
_XATTR = b"SCHILY.xattr."

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

    Files have no extended attributes in it; see reduced().

    Args:
      blobs: the layers, the lowest first.
      work: counts what is read.

    Raises:
      InputError: a blob is not a valid layer, or not what its descriptor says.
    """
    made = Tree()
    for number, blob in enumerate(blobs):
        with entries(blob, work) as archive:
            made.apply(reduced(archive, work), number)
    return made


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
            work.add_blob(blob.descriptor["digest"], os.stat(blob.path).st_size)
            stream = Decompressed(file, work)
            if stream.codec not in LAYERS:
                # Docker and podman read such a layer, containerd takes it for a damaged tar.
                what = f"compressed by {stream.codec}, which containerd does not read in layers; compress it by gzip or zstd"
                raise DecompressionError(what)
            yield Archive(stream, work)
        except (ArchiveError, DecompressionError) as error:
            what = f"layer {blob.descriptor['digest']}: {error}"
            raise InputError([problem("base", blob.where, what)]) from None


def reduced(members: Iterable[Member], work: Work) -> Iterator[Member]:
    """Yields entries without the records that nobody asks for.

    Extended attributes may have 1 MiB for each entry. Those of directories are kept, because a layer that repeats the
    directory repeats them; of files, only the capabilities are, because whoever copies a file reads its entry again.

    Args:
      members: the entries of a layer.
      work: counts the memory of what is kept.
    """
    for member in members:
        if member.type == DIRECTORY:
            member.records = {name: value for name, value in member.records.items() if name.startswith(_XATTR)}
        else:
            value = member.records.get(CAPABILITY_RECORD)
            member.records = {} if value is None else {CAPABILITY_RECORD: value[: limits.CAPABILITY]}
        if member.records:
            work.keep(sum(len(name) + 3 * len(value) + 200 for name, value in member.records.items()))
        yield member
