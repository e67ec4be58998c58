"""Reads the layers below a layer, and verifies each blob against its digest and diff_id."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import namedtuple

from rules_setcap.archive.decompress import LAYER_CODECS, DecompressedStream, DecompressionError
from rules_setcap.archive.entry import DIRECTORY
from rules_setcap.archive.reader import Archive, ArchiveError
from rules_setcap.archive.records import XATTR
from rules_setcap.archive.budget import ReadBudget
from rules_setcap.diagnostics import files, limits
from rules_setcap.diagnostics.errors import InputError, problem, quote
from rules_setcap.oci import base, differences
from rules_setcap.oci.rootfs import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator, Sequence

    from rules_setcap.archive.reader import Member

_CHUNK = 1 << 20

Blob = namedtuple("Blob", ("path", "descriptor", "where", "diff_id"))
"""A layer. path: str, of the file; descriptor: dict; where: str, for messages; diff_id: str, from the image's config."""


def of_layout(layout: str, platform: str) -> list[Blob]:
    """Returns the layers of an image in an OCI layout directory, the lowest first.

    Args:
      layout: its path.
      platform: os/architecture/variant of the image.

    Raises:
      InputError: there is not one such image, or it is invalid.
    """
    words = (platform.split("/") + [""] * 3)[:3]
    return of_image(layout, base.load_layout(layout, dict(zip(("os", "architecture", "variant"), words))))


def of_image(layout: str, image: base.Base) -> list[Blob]:
    """Returns the layers of an image that was read from an OCI layout directory, the lowest first."""
    pairs = zip(image.manifest["layers"], image.config["rootfs"]["diff_ids"])
    return [Blob(base.blob_path(layout, layer["digest"]), layer, layout, diff_id) for layer, diff_id in pairs]


def of_pairs(pairs: Sequence[str]) -> list[Blob]:
    """Returns layers of this build.

    Args:
      pairs: `METADATA=BLOB` each, the paths of both.
    """
    blobs = []
    for pair in pairs:
        path, _, blob = pair.partition("=")
        metadata = files.read_json(path)
        blobs.append(Blob(blob, metadata["descriptor"], blob, metadata["diff_id"]))
    return blobs


def tree(blobs: Iterable[Blob], work: ReadBudget) -> Tree:
    """Returns the merged root filesystem of layers.

    Files have no extended attributes in it; see reduced().

    Args:
      blobs: the layers, the lowest first.
      work: counts what is read.

    Raises:
      InputError: a blob is not a valid layer, or not what its descriptor says.
    """
    made, blobs = Tree(), list(blobs)
    for number, blob in enumerate(blobs):
        with entries(blob, work) as archive:
            made.apply(reduced(archive, work), number, blob.descriptor["size"])
    return as_unpacked(made, blobs, first=True)[0]


def as_unpacked(tree: Tree, blobs: Sequence[Blob], *, first: bool = False) -> tuple[Tree, list[str]]:
    """Returns the root filesystem that containerd unpacks, or the first engine that takes the layers.

    Args:
      tree: computed from the layers; it is returned if engines do not differ about them.
      blobs: the layers, the lowest first.
      first: whether the first engine is enough, so that no paths are returned.

    Returns:
      The root filesystem, and the paths of files that have different capabilities in other engines.

    Raises:
      InputError: no engine takes the layers.
    """
    if not tree.unusual:
        return tree, []
    layers, work = [], ReadBudget()
    for blob in blobs:
        with entries(blob, work) as archive:
            layers.append(differences.brief(reduced(archive, work)))
    try:
        unpacked, found = differences.unpack(layers, first=first)
    except ArchiveError as error:
        raise InputError([problem("base", blobs[0].where, str(error))]) from None
    return unpacked, [each.path for each in found]


@contextlib.contextmanager
def entries(blob: Blob, work: ReadBudget) -> Iterator[Archive]:
    """Yields the entries of a layer; verifies the whole blob when the block ends.

    Args:
      blob: the layer.
      work: counts what is read of all layers of an image together.

    Raises:
      InputError: it is not a valid layer, or has another digest, size or diff_id.
    """
    with base.Verified(blob.path, blob.descriptor, blob.where) as file:
        try:
            work.add_blob(blob.descriptor["digest"], os.stat(blob.path).st_size)
            stream = DecompressedStream(file, work)
            if stream.codec not in LAYER_CODECS:
                # Docker and podman read such a layer, containerd takes it for a damaged tar.
                what = f"compressed by {stream.codec}, which containerd does not read in layers; compress it by gzip or zstd"
                raise DecompressionError(what)
            if stream.codec == "none":
                # The digest of the blob is verified, and containerd does not take this layer if it is not its diff_id.
                if blob.descriptor["digest"] != blob.diff_id:
                    raise ArchiveError(f"its diff_id in the image's config is {quote(blob.diff_id)}")
                yield Archive(stream, work)
            else:
                hashed = _Hashed(stream)
                yield Archive(hashed, work)
                hashed.check(blob.diff_id)
        except (ArchiveError, DecompressionError) as error:
            what = f"layer {blob.descriptor['digest']}: {error}"
            raise InputError([problem("base", blob.where, what)]) from None


class _Hashed:
    """The tar in a compressed blob; its digest is computed while it is read."""

    def __init__(self, stream: DecompressedStream) -> None:
        self._stream, self._hash = stream, hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Returns the next bytes."""
        data = self._stream.read(size)
        self._hash.update(data)
        return data

    def check(self, diff_id: str) -> None:
        """Reads the rest, and raises ArchiveError if the digest is not `diff_id`; engines refuse such a layer."""
        while self.read(_CHUNK):
            pass
        digest = "sha256:" + self._hash.hexdigest()
        if digest != diff_id:
            raise ArchiveError(f"it unpacks to {digest}, and its diff_id in the image's config is {quote(diff_id)}")


def reduced(members: Iterable[Member], work: ReadBudget) -> Iterator[Member]:
    """Yields entries without the records that nobody asks for.

    Extended attributes may have 1 MiB for each entry. Those of directories are kept, because a layer that repeats the
    directory repeats them; of files, only those that decide about capabilities, because whoever copies a file reads its
    entry again.

    Args:
      members: the entries of a layer.
      work: counts the memory of what is kept.
    """
    for member in members:
        if member.type == DIRECTORY:
            member.records = {name: value for name, value in member.records.items() if name.startswith(XATTR)}
        else:
            kept = differences.DECISIVE if member.records else ()
            member.records = {name: value[: limits.CAPABILITY] for name, value in member.records.items() if name.startswith(kept)}
        if member.records:
            work.spend_memory(sum(len(name) + 3 * len(value) + 200 for name, value in member.records.items()))
        yield member
