"""Opens the layers of an image, and verifies each blob against its digest and diff_id."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import os
from typing import TYPE_CHECKING

from rules_setcap.archive.decompress import LAYER_CODECS, DecompressedStream, DecompressionError
from rules_setcap.archive.reader import TarError, TarReader
from rules_setcap.archive.seeking import SeekingStream
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.oci import image_documents
from rules_setcap.oci.blobs import HashingReader, VerifiedBlob, blob_path
from rules_setcap.oci.platforms import split_platform

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from rules_setcap.archive.budget import ReadBudget

LayerBlob = collections.namedtuple("LayerBlob", ("path", "descriptor", "place", "diff_id", "has_digest"), defaults=(False,))
"""The blob of a layer. path: str, of the file; descriptor: dict; place: str, the path of the layout or of the blob, for
messages; diff_id: str, from the image's config; has_digest: bool, whether the file is known to have the digest of the descriptor,
because this process has written it."""

_PIECES_AHEAD = 48  # MiB of the tars of all layers that are opened ahead.
_MAX_LAYERS_AHEAD = 3
_SMALL = 1 << 20  # Threads take longer to start than a smaller blob takes to read.


def list_layout_layers(layout: str, platform: str, fetched_blobs: Mapping[str, str] | None = None) -> list[LayerBlob]:
    """Returns the layers of an image in an OCI image layout directory, the lowest first.

    Args:
      layout: the path of the directory.
      platform: os/architecture/variant of the image.
      fetched_blobs: by digest, the paths of layers that the layout lacks.

    Raises:
      InputError: there is not exactly one such image, or it is not valid.
    """
    return list_image_layers(layout, image_documents.read_layout_image(layout, split_platform(platform)), fetched_blobs)


def list_image_layers(
    layout: str,
    image: image_documents.ImageDocuments,
    fetched_blobs: Mapping[str, str] | None = None,
    *,
    have_digests: bool = False,
) -> list[LayerBlob]:
    """Returns the layers of an image that was read from an OCI image layout directory, the lowest first.

    Args:
      layout: the path of the directory.
      image: the documents of the image.
      fetched_blobs: by digest, the paths of layers that the layout lacks.
      have_digests: whether this process has written the layout, from blobs that it has verified.
    """
    paths = fetched_blobs or {}
    pairs = zip(image.manifest["layers"], image.config["rootfs"]["diff_ids"], strict=True)
    return [
        LayerBlob(paths.get(layer["digest"]) or blob_path(layout, layer["digest"]), layer, layout, diff_id, have_digests)
        for layer, diff_id in pairs
    ]


def list_built_layers(metadata_paths: Sequence[str], blobs: Sequence[str]) -> list[LayerBlob]:
    """Returns layers that other actions of the build wrote.

    Args:
      metadata_paths: the paths of the metadata of the layers.
      blobs: the paths of their blobs, in the same order.
    """
    layers = []
    for path, blob in zip(metadata_paths, blobs, strict=True):
        metadata = files.read_json(path)
        layers.append(LayerBlob(blob, metadata["descriptor"], blob, metadata["diff_id"]))
    return layers


def open_layers(
    blobs: Iterable[LayerBlob], budget: ReadBudget, layers_ahead: int = 0
) -> Generator[contextlib.AbstractContextManager[TarReader], None, None]:
    """Yields what open_layer() returns for each layer. Some layers that follow are decompressed at the same time.

    A caller that may not take all of them closes the generator.

    Args:
      blobs: the layers. Each must be closed before the next is taken.
      budget: counts the reading of all layers together.
      layers_ahead: the number of layers that are opened before they are taken; see count_layers_ahead().
    """
    if not layers_ahead:
        for blob in blobs:
            yield open_layer(blob, budget)
        return
    pieces = _PIECES_AHEAD // layers_ahead
    opened: collections.deque[_OpenedLayer] = collections.deque()
    try:
        for blob in blobs:
            opened.append(_OpenedLayer(open_layer(blob, budget, pieces)))
            if len(opened) > layers_ahead:
                yield opened.popleft()
        while opened:
            yield opened.popleft()
    finally:
        for layer in opened:
            layer.abandon()


def count_layers_ahead() -> int:
    """Returns the number of layers to open ahead, for a program that may use all CPUs of this process."""
    has_affinity = hasattr(os, "sched_getaffinity")
    return min(_MAX_LAYERS_AHEAD, (len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1) - 1)


class _OpenedLayer(contextlib.AbstractContextManager["TarReader"]):
    """A layer that is opened before the block that reads it. An error of the opening is raised when the block begins."""

    def __init__(self, layer: contextlib.AbstractContextManager[TarReader]) -> None:
        self._layer = layer
        self._error: Exception | None = None
        try:
            self._archive = layer.__enter__()
        except Exception as error:
            self._error = error

    def __enter__(self) -> TarReader:
        if self._error is not None:
            raise self._error
        return self._archive

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return self._layer.__exit__(kind, error, traceback)

    def abandon(self) -> None:
        """Closes the layer without reading it."""
        if self._error is None:
            with contextlib.suppress(GeneratorExit):
                self._layer.__exit__(GeneratorExit, GeneratorExit(), None)


@contextlib.contextmanager
def open_layer(blob: LayerBlob, budget: ReadBudget, pieces_ahead: int = 0) -> Iterator[TarReader]:
    """Opens a layer in a with statement; verifies the whole blob when the block ends.

    Args:
      blob: the layer.
      budget: counts the reading of all layers of an image together.
      pieces_ahead: MiB of its tar that may wait until they are read; 0 for a few.

    Yields:
      The entries of the layer.

    Raises:
      InputError: the layer is not valid, or has another digest, size or diff_id.
    """
    with VerifiedBlob(blob.path, blob.descriptor, blob.place, has_digest=blob.has_digest) as file:
        try:
            size = os.stat(blob.path).st_size
            budget.add_blob(blob.descriptor["digest"], size)
            stream = DecompressedStream(file, budget)
            if stream.codec not in LAYER_CODECS:
                # Docker and podman read such a layer; containerd takes it for a damaged tar.
                what = f"compressed by {stream.codec}, which containerd does not read in layers; compress it by gzip or zstd"
                raise DecompressionError(what)
            if stream.codec == "none":
                # VerifiedBlob verifies the digest, and containerd refuses this layer if its digest is not its diff_id.
                if blob.descriptor["digest"] != blob.diff_id:
                    raise TarError(f"its diff_id in the image's config is {quote(blob.diff_id)}")
                if blob.has_digest:
                    yield TarReader(SeekingStream(file), budget)
                elif size < _SMALL:
                    yield TarReader(stream, budget)
                else:
                    with stream.read_ahead(pieces_ahead=pieces_ahead) as ahead:
                        yield TarReader(ahead, budget)
                        ahead.skip_rest()
            else:
                if size < _SMALL:
                    reader = HashingReader(stream)
                    yield TarReader(reader, budget)
                    digest, _ = reader.read_rest()
                else:
                    hashed = hashlib.sha256()
                    with stream.read_ahead(hashed.update, pieces_ahead) as ahead:
                        yield TarReader(ahead, budget)
                        ahead.skip_rest()
                    digest = "sha256:" + hashed.hexdigest()
                if digest != blob.diff_id:  # Engines refuse such a layer.
                    raise TarError(f"it unpacks to {digest}, and its diff_id in the image's config is {quote(blob.diff_id)}")
        except (TarError, DecompressionError) as error:
            what = f"layer {blob.descriptor['digest']}: {error}"
            raise InputError([format_problem("base", blob.place, what)]) from None
