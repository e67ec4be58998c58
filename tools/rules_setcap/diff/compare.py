"""Compares two sources: their images by platform, and of each pair the documents, the layers and the merged capabilities."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rules_setcap.archive.decompress import DecompressedStream, DecompressionError
from rules_setcap.archive.reader import TarError
from rules_setcap.archive.records import CAPABILITY_RECORD
from rules_setcap.diagnostics import progress
from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.diff.contents import ContentComparer
from rules_setcap.diff.documents import compare_configs, compare_indexes, compare_manifests
from rules_setcap.diff.layer_pairs import join_moved_layers, pair_layers
from rules_setcap.diff.layers import LayerComparison, summarize_layer
from rules_setcap.diff.merged import compare_merged
from rules_setcap.diff.model import (
    KINDS,
    CapabilityChange,
    Change,
    Difference,
    ImageDifference,
    ImageSide,
    Input,
    LayerDifference,
)
from rules_setcap.diff.platforms import pair_images
from rules_setcap.diff.sink import ChangeFilter, ChangeSink
from rules_setcap.oci.blobs import CHUNK, HashingReader

if TYPE_CHECKING:
    from collections.abc import Collection

    from rules_setcap.diff.layer_pairs import Pairs
    from rules_setcap.diff.sources import Source, SourceImage, SourceLayer

_ORDER = {kind: number for number, kind in enumerate(KINDS)}


def compare_sources(before: Source, after: Source, platform: str = "", ignored: Collection[str] = ()) -> Difference:
    """Compares two sources.

    Args:
      before: the first source.
      after: the second source.
      platform: os/architecture[/variant] of the images to compare; "" for all.
      ignored: the kinds of changes to leave out, keys of KINDS.

    Raises:
      InputError: the sources have no images for the same platform, or an image is not valid.
      OSError: a file cannot be read.
    """
    change_filter = ChangeFilter(ignored)
    try:
        pairing = pair_images(before, after, platform)
        sink = ChangeSink(change_filter)
        if before.index and after.index:
            sink.extend(compare_indexes(before.index, after.index))
        sink.extend(pairing.changes)
        images = [_ImageComparison(left, right, before, after, change_filter).run() for left, right in pairing.pairs]
        if not platform and not sink.count and all(image.before.digest == image.after.digest for image in images):
            sink.extend(_explain_index_digests(before, after))
    except InputError as error:
        raise InputError(after.rename_problems(before.rename_problems(error.problems))) from None
    return Difference(
        Input(before.name, before.digest, pairing.only_before),
        Input(after.name, after.digest, pairing.only_after),
        tuple(sink.changes),
        tuple(images),
        change_filter.list_ignored(),
        tuple(pairing.notes),
    )


class _ImageComparison:
    """The comparison of two images."""

    def __init__(
        self, before: SourceImage, after: SourceImage, before_source: Source, after_source: Source, change_filter: ChangeFilter
    ) -> None:
        self._images = before, after
        self._sources = before_source, after_source
        self._filter = change_filter
        self._notes: list[str] = []
        self._has_capabilities = False
        self._verified: set[str] = set()  # Paths of blobs that have been read completely.
        self._moved: set[int] = set()  # Positions in the second image of layers that the first has in another place.

    def run(self) -> ImageDifference:
        before, after = self._images
        pairs = pair_layers(before.layers, after.layers)
        documents = ChangeSink(self._filter)
        if bool(before.config) != bool(after.config):
            self._notes.append("one of the two is a tar of files, which has no config and no manifest; only layers are compared")
        else:
            documents.extend(compare_configs(before.config, after.config, pairs))
            documents.extend(self._compare_manifests(pairs))
        pairs, self._moved = join_moved_layers(pairs, before.layers, after.layers)
        layers = [difference for left, right in pairs if (difference := self._compare_pair(left, right))]
        if not documents.count and not layers and bool(before.config) == bool(after.config):
            documents.extend(self._explain_digests())
        capabilities: tuple[CapabilityChange, ...] = ()
        if self._has_capabilities and (layers or len(before.layers) != len(after.layers)):
            capabilities = self._compare_merged()
            if capabilities and self._filter.ignores("capabilities", len(capabilities)):
                capabilities = ()
        return ImageDifference(
            after.platform or before.platform,
            ImageSide(before.digest, len(before.layers)),
            ImageSide(after.digest, len(after.layers)),
            tuple(documents.changes),
            capabilities,
            tuple(layer for layer in layers if layer.changes or layer.omitted),
            tuple(self._notes),
        )

    def _compare_merged(self) -> tuple[CapabilityChange, ...]:
        """Returns the files whose capabilities a container sees differently."""
        try:
            return compare_merged(*self._images, self._notes)
        except InputError as error:  # The layers are valid tars, and no engine accepts them together.
            for source in self._sources:
                error = InputError(source.rename_problems(error.problems))
            self._notes.append(f"the capabilities that a container sees are not compared: {'; '.join(error.problems)}")
            return ()

    def _compare_manifests(self, pairs: Pairs) -> list[Change]:
        """Returns the changes of the manifest."""
        before, after = self._images
        if before.manifest and after.manifest:
            return list(compare_manifests(before, after, pairs, self._notes))
        if before.config:
            self._notes.append(
                "an archive of docker save has no manifest; manifests and the compression of layers are not compared"
            )
        return []

    def _explain_digests(self) -> list[Change]:
        """Returns a change if the digests differ although no field does: then the JSON is written differently."""
        before, after = self._images
        what = "the JSON is written differently: white space, or the order of keys"
        if before.config_digest != after.config_digest:
            return [Change("encoding", "config", "JSON", before.config_digest, after.config_digest, (what,))]
        if before.manifest and after.manifest and before.digest != after.digest and not self._notes:
            return [Change("encoding", "manifest", "JSON", before.digest, after.digest, (what,))]
        return []

    def _compare_pair(self, left: int | None, right: int | None) -> LayerDifference | None:
        """Compares two layers, or reads one that only one image has; returns None if they are the same."""
        before, after = self._images
        if left is None or right is None:
            return self._summarize(
                before.layers[left] if left is not None else None, after.layers[right] if right is not None else None
            )
        first, second = before.layers[left], after.layers[right]
        if first.side.diff_id == second.side.diff_id:
            difference = self._compare_equal_tars(first, second)
            return self._add_move(first, second, difference) if right in self._moved else difference
        sink = ChangeSink(self._filter)
        contents = ContentComparer(sink, describes="content" not in self._filter.kinds)
        _begin_step(second, first.side.size + second.side.size)
        with first.open() as left_archive, second.open() as right_archive:
            comparison = LayerComparison((left_archive, right_archive), sink, contents)
            try:
                comparison.run()
            except TarError as error:
                raise _describe_tar_error(error, first, second) from None
        self._has_capabilities |= comparison.has_capabilities
        if not sink.count:
            sink.add(_find_first_byte(first, second))
        contents.describe_postponed(first, second)
        changes = sorted(sink.changes, key=lambda change: (change.path, _ORDER[change.kind]))
        return LayerDifference(first.side, second.side, tuple(changes), sink.omitted)

    def _compare_equal_tars(self, first: SourceLayer, second: SourceLayer) -> LayerDifference | None:
        """Verifies two layers whose tars are the same; returns a difference if their compression is not."""
        self._scan(first)
        if first.side.digest == second.side.digest:
            if first.path != second.path:
                self._verify(second)
            return None
        self._scan(second)
        if not all(source.has_manifests for source in self._sources):
            return None
        sink = ChangeSink(self._filter)
        old, new = (f"{layer.side.compression or 'not compressed'}, {layer.side.size} bytes" for layer in (first, second))
        sink.add(Change("compression", "", before=old, after=new, details=_compare_gzip_headers(first.path, second.path)))
        return LayerDifference(first.side, second.side, tuple(sink.changes), sink.omitted)

    def _add_move(self, first: SourceLayer, second: SourceLayer, difference: LayerDifference | None) -> LayerDifference:
        """Returns the difference of a layer that is in another place, with that of its compression."""
        counts = [len(image.layers) for image in self._images]
        sink = ChangeSink(self._filter)
        old, new = (f"layer {layer.side.number} of {count}" for layer, count in zip((first, second), counts, strict=True))
        sink.add(Change("layers", "", before=old, after=new, details=("the same layer, in another place",)))
        changes = difference.changes if difference else ()
        return LayerDifference(first.side, second.side, (*sink.changes, *changes))

    def _summarize(self, first: SourceLayer | None, second: SourceLayer | None) -> LayerDifference:
        """Returns the difference for a layer that only one image has."""
        layer = second or first
        assert layer
        sink = ChangeSink(self._filter)
        _begin_step(layer, layer.side.size)
        with layer.open() as archive:
            change, has_capabilities = summarize_layer(layer, archive)
        self._has_capabilities |= has_capabilities
        if first is None:
            change = replace(change, before=None, after=change.before)
        sink.add(change)
        return LayerDifference(first.side if first else None, second.side if second else None, tuple(sink.changes), sink.omitted)

    def _scan(self, layer: SourceLayer) -> None:
        """Verifies a layer that both images have, and finds out whether it has capabilities."""
        if layer.path in self._verified:
            return
        self._verified.add(layer.path)
        _begin_step(layer, layer.side.size)
        with layer.open() as archive:
            for member in archive:
                if member.records and CAPABILITY_RECORD in member.records:
                    self._has_capabilities = True

    def _verify(self, layer: SourceLayer) -> None:
        """Verifies the digest of a blob without decompressing it."""
        if layer.path in self._verified:
            return
        self._verified.add(layer.path)
        _begin_step(layer, layer.side.size)
        with open_regular(layer.path) as file:
            digest, _ = HashingReader(file).read_rest()
        if digest != layer.side.digest:
            raise InputError([format_problem("image", layer.path, f"has digest {digest}; it must be {layer.side.digest}")])


def _explain_index_digests(before: Source, after: Source) -> list[Change]:
    """Returns a change if the digests of two indexes differ although their fields and images do not."""
    media_types = [source.index.get("mediaType") for source in (before, after)]
    if not before.index or not after.index or before.digest == after.digest or media_types[0] != media_types[1]:
        return []
    what = "the JSON is written differently: white space, the order of keys, or the descriptors of artifacts"
    return [Change("encoding", "index", "JSON", before.digest, after.digest, (what,))]


def _begin_step(layer: SourceLayer, size: int) -> None:
    progress.begin_step(f"layer {layer.side.number}", size)


def _describe_tar_error(error: TarError, first: SourceLayer, second: SourceLayer) -> InputError:
    """Returns the error for two layers that cannot be compared.

    Raises:
      InputError: one of them is not valid. It is read again, because the comparison does not tell which one it is.
    """
    for layer in (first, second):
        with layer.open() as archive:
            for _ in archive:
                pass
    what = f"cannot be compared with {second.side.digest}: {error}"
    return InputError([format_problem("layer", first.side.digest, what)])


def _compare_gzip_headers(before: str, after: str) -> tuple[str, ...]:
    """Returns which fields of the headers of two gzip files differ."""
    headers = []
    for path in (before, after):
        with open_regular(path) as file:
            headers.append(file.read(10))
    if not all(header.startswith(b"\x1f\x8b") and len(header) == 10 for header in headers):
        return ()
    details = []
    for name, start, end in (("flags", 3, 4), ("time", 4, 8), ("level", 8, 9), ("operating system", 9, 10)):
        values = [int.from_bytes(header[start:end], "little") for header in headers]
        if values[0] != values[1]:
            details.append(f"{name} in the gzip header: {values[0]} -> {values[1]}")
    return tuple(details) or ("the gzip headers are equal: another level or another program",)


def _find_first_byte(first: SourceLayer, second: SourceLayer) -> Change:
    """Returns the change of two layers whose entries are the same: the first byte of the tars that differs."""
    offset = 0
    try:
        with open_regular(first.path) as left_file, open_regular(second.path) as right_file:
            left, right = DecompressedStream(left_file), DecompressedStream(right_file)
            while True:
                pieces = left.read(CHUNK), right.read(CHUNK)
                if pieces[0] != pieces[1] or not pieces[0]:
                    break
                offset += len(pieces[0])
    except DecompressionError as error:
        raise InputError([format_problem("layer", first.side.digest, str(error))]) from None
    common = min(map(len, pieces))
    offset += next((at for at in range(common) if pieces[0][at] != pieces[1][at]), common)
    what = f"the tars differ at byte {offset}, in nothing that entries have"
    return Change("encoding", "", "bytes", first.side.diff_id, second.side.diff_id, (what,))
