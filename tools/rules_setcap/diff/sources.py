"""Opens the two arguments of a comparison: their images, the documents of the images, and their layers."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.decompress import DecompressedStream, DecompressionError
from rules_setcap.archive.reader import TarError, TarReader
from rules_setcap.archive.seeking import SeekingStream
from rules_setcap.diagnostics import limits, progress
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.diagnostics.strict_json import parse_document
from rules_setcap.diff.model import LayerSide
from rules_setcap.oci import image_documents, layer_blobs, media_types
from rules_setcap.oci.archive_detection import ArchiveDetector
from rules_setcap.oci.archive_import import ImportedArchive, import_archive
from rules_setcap.oci.blobs import CHUNK, HashingReader, blob_path
from rules_setcap.oci.named_images import IMAGE_FLAG, choose_images
from rules_setcap.oci.platforms import format_platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager, ExitStack
    from typing import BinaryIO

    from rules_setcap.oci.layout_reader import NonImage


@dataclass(frozen=True, slots=True)
class SourceLayer:
    """A layer that can be opened.

    Attributes:
      side: its position and digests, for the report.
      path: the path of the blob.
      open: opens it, and verifies it when the block ends.
    """

    side: LayerSide
    path: str
    open: Callable[[], AbstractContextManager[TarReader]]


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An image.

    Attributes:
      platform: os/architecture[/variant]; "" for a tar of files.
      digest: the digest of the manifest; without one, that of the config, or of the file for a tar of files.
      config_digest: the digest of the config; "" for a tar of files.
      manifest: the manifest as it is written; {} without one.
      config: the config; {} for a tar of files.
      layers: the layers, the lowest first.
    """

    platform: str
    digest: str
    config_digest: str
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    layers: Sequence[SourceLayer]


@dataclass(frozen=True, slots=True)
class Source:
    """One of the two arguments.

    Attributes:
      name: the path or the name, as the user wrote it.
      place: the path that is read: a layout directory or a tar of files.
      digest: the digest of the image, of the index, or of a tar of files; "" if the source has several images without an index.
      images: the images.
      index: the index that names the images, if it has a digest of its own; {} without one.
      artifacts: what is beside the images.
      has_manifests: whether the manifests are those of the source; an archive of `docker save` has none.
    """

    name: str
    place: str
    digest: str
    images: Sequence[SourceImage]
    index: Mapping[str, Any]
    artifacts: Sequence[NonImage]
    has_manifests: bool = True

    def rename_problems(self, problems: Sequence[str]) -> list[str]:
        """Returns problems that name the source as the user did."""
        return [
            text.replace("base: " + quote(self.place), "image: " + quote(self.name), 1).replace(
                quote(self.place), quote(self.name)
            )
            for text in problems
        ]


def open_source(name: str, path: str, stack: ExitStack, image_name: str = "") -> Source:
    """Opens an argument.

    Args:
      name: the argument as the user wrote it.
      path: the path of an OCI layout directory, an archive of an image, or a tar of files.
      stack: deletes the temporary files of the source when it is closed.
      image_name: the name or digest of the images to open; "" for all.

    Raises:
      InputError: there is no image at the path, or it is not valid.
      OSError: the path cannot be read.
    """
    try:
        if os.path.isdir(path):
            return _open_layout(name, path, ReadBudget(blobs=True), image_name)
        tar = _examine_file(name, path)
    except InputError as error:
        raise InputError(
            text.replace("base: ", "image: ", 1).replace(quote(path), quote(name)) for text in error.problems
        ) from None
    if not tar.evidence:
        if image_name:
            raise InputError([format_problem(IMAGE_FLAG, image_name, f"{quote(name)} is a tar of files, which has no name")])
        return _make_tar_source(name, path, tar)
    layout = os.path.join(stack.enter_context(tempfile.TemporaryDirectory(prefix="image_diff-")), "layout")
    progress.begin_step("unpacking", tar.size)
    try:
        archive = import_archive(layout, path, attribute="image")
        source = _open_layout(name, layout, ReadBudget(tar.size), image_name, archive)
    except InputError as error:
        texts = [text.replace("base: ", "image: ", 1).replace(quote(layout), quote(name)) for text in error.problems]
        raise InputError(
            f"{text.replace(quote(path), quote(name))}; taken for an image archive, because {tar.evidence}" for text in texts
        ) from None
    return source


@dataclass(frozen=True, slots=True)
class _ExaminedFile:
    """A file that has been read as a tar.

    Attributes:
      evidence: why it is an image archive, as a clause; "" for a tar of files.
      size: its size in bytes.
      digest: its digest.
      diff_id: the digest of the uncompressed tar.
      codec: its compression; "none" without one.
      state: what changes when the file is written to.
    """

    evidence: str
    size: int
    digest: str
    diff_id: str
    codec: str
    state: tuple[int, ...]


def _examine_file(name: str, path: str) -> _ExaminedFile:
    """Reads a file as a tar, and finds out whether it is an image archive."""
    try:
        with open_regular(path) as file:
            size, state = os.fstat(file.fileno()).st_size, _read_state(file)
            progress.begin_step("", size)
            evidence, is_tar = _scan_headers(file)
            if evidence:
                return _ExaminedFile(evidence, size, "", "", "none", state)
            file.seek(0)
            budget = ReadBudget(size)
            stream = HashingReader(file)
            if is_tar:
                digest, _ = stream.read_rest()
                return _ExaminedFile("", size, digest, digest, "none", state)
            decompressed = DecompressedStream(stream, budget)
            content = decompressed if decompressed.codec == "none" else HashingReader(decompressed)
            archive = TarReader(content, budget)
            detector = ArchiveDetector(archive)
            for _ in detector:
                if detector.evidence:
                    return _ExaminedFile(detector.evidence, size, "", "", decompressed.codec, state)
            if detector.evidence:
                return _ExaminedFile(detector.evidence, size, "", "", decompressed.codec, state)
            for _ in archive.read_rest():
                pass
            diff_id = content.read_rest()[0] if isinstance(content, HashingReader) else ""
            digest, _ = stream.read_rest()
            return _ExaminedFile("", size, digest, diff_id or digest, decompressed.codec, state)
    except (TarError, DecompressionError) as error:
        raise InputError([format_problem("image", name, str(error))]) from None


def _read_state(file: BinaryIO) -> tuple[int, ...]:
    """Returns what changes when a file is written to."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _scan_headers(file: BinaryIO) -> tuple[str, bool]:
    """Reads the headers of an uncompressed tar. The contents are checked where they are read.

    Returns:
      Why the file is an image archive, as a clause, or ""; and whether it is a tar of files. It is neither if it is compressed or
      not valid.
    """
    try:
        if DecompressedStream(file).codec != "none":
            return "", False
        archive = TarReader(SeekingStream(file), ReadBudget(os.fstat(file.fileno()).st_size))
        detector = ArchiveDetector(archive)
        for _ in detector:
            if detector.evidence:
                break
    except (TarError, DecompressionError):
        return "", False
    return detector.evidence, archive.ended and not detector.evidence


def _make_tar_source(name: str, path: str, tar: _ExaminedFile) -> Source:
    """Returns the source of a tar of files, which is taken for the only layer of an image without documents."""

    @contextlib.contextmanager
    def open_tar() -> Iterator[TarReader]:
        with open_regular(path) as file:
            budget = ReadBudget(tar.size)
            try:
                content = DecompressedStream(file, budget)
                yield TarReader(content, budget)
                while content.read(CHUNK):
                    pass
            except (TarError, DecompressionError) as error:
                raise InputError([format_problem("image", name, str(error))]) from None
            if _read_state(file) != tar.state:
                raise InputError([format_problem("image", name, "the file has changed while it was read")])

    side = LayerSide(1, tar.digest, tar.diff_id, tar.size, "" if tar.codec == "none" else tar.codec)
    image = SourceImage("", tar.digest, "", {}, {}, [SourceLayer(side, path, open_tar)])
    return Source(name, path, tar.digest, [image], {}, [])


def _open_layout(name: str, layout: str, budget: ReadBudget, image_name: str, archive: ImportedArchive | None = None) -> Source:
    """Opens an OCI image layout directory.

    Args:
      name: the argument as the user wrote it.
      layout: the path of the directory.
      budget: counts the reading of the layers.
      image_name: the name or digest of the images to open; "" for all.
      archive: the archive from which this process has written the layout; None for a layout of the user.
    """
    has_manifests = archive is None or archive.has_manifests
    entries = image_documents.read_layout_images(layout)
    if not entries.images:
        what = f"no image in it{image_documents.describe_non_images(entries.non_images)}"
        raise InputError([format_problem("image", name, what)])
    chosen = entries.images
    if image_name:
        docker_names = archive.list_docker_names() if archive else {}
        chosen = choose_images(name, layout, chosen, image_name, docker_names)
    images = [_make_image(layout, documents, budget, has_manifests) for documents in chosen]
    top = _read_top_descriptor(layout)
    index: Mapping[str, Any] = {}
    if top and top["mediaType"] in media_types.INDEXES:
        index = _read_json(layout, top["digest"])
    digest = top["digest"] if top else ""
    if not has_manifests or (image_name and not top):
        digest = images[0].digest if len(images) == 1 else ""
    return Source(name, layout, digest, images, index, entries.non_images, has_manifests)


def _make_image(layout: str, documents: image_documents.ImageDocuments, budget: ReadBudget, has_manifests: bool) -> SourceImage:
    """Returns an image of a layout."""
    descriptor = documents.descriptor
    platform = descriptor.get("platform")
    named = documents.config
    if isinstance(platform, dict) and all(platform.get(key) and isinstance(platform[key], str) for key in ("os", "architecture")):
        named = platform
    commands = _list_commands(documents.config)
    layers = []
    for number, blob in enumerate(layer_blobs.list_image_layers(layout, documents), 1):
        created_by = commands[number - 1] if len(commands) == len(documents.manifest["layers"]) else ""
        side = LayerSide(
            number, blob.descriptor["digest"], blob.diff_id, blob.descriptor["size"], _find_compression(blob.path), created_by
        )
        layers.append(SourceLayer(side, blob.path, lambda blob=blob: layer_blobs.open_layer(blob, budget)))  # type: ignore[misc]
    return SourceImage(
        format_platform(named),
        descriptor["digest"] if has_manifests else documents.manifest["config"]["digest"],
        documents.manifest["config"]["digest"],
        _read_json(layout, descriptor["digest"]) if has_manifests else {},
        documents.config,
        layers,
    )


def _list_commands(config: Mapping[str, Any]) -> list[str]:
    """Returns `created_by` of the history entries that stand for layers."""
    history = [entry for entry in config.get("history") or [] if isinstance(entry, dict) and not entry.get("empty_layer")]
    return [entry["created_by"] if isinstance(entry.get("created_by"), str) else "" for entry in history]


def _find_compression(path: str) -> str:
    """Returns the compression of a blob, by its first bytes; "" if it has none or cannot be read."""
    try:
        with open_regular(path) as file:
            codec = DecompressedStream(file).codec
    except (OSError, DecompressionError):
        return ""  # The reading of the layer reports it.
    return "" if codec == "none" else codec


def _read_top_descriptor(layout: str) -> Mapping[str, Any] | None:
    """Returns the descriptor of the only image or index in a layout; None if there are several."""
    try:
        return image_documents.find_only_descriptor(layout)
    except InputError:
        return None


def _read_json(layout: str, digest: str) -> Mapping[str, Any]:
    """Returns the value of a manifest or an index whose digest has been verified."""
    with open_regular(blob_path(layout, digest)) as file:
        value: Mapping[str, Any] = parse_document(file.read(limits.JSON))
    return value
