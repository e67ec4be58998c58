"""Reads images, and the file capabilities in them, without unpacking them to disk as a file system.

An image is an OCI image layout directory, an image archive, or any other tar, which is taken for the only layer of an image.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.decompress import DecompressedStream, DecompressionError
from rules_setcap.archive.reader import TarError, TarReader
from rules_setcap.diagnostics import progress
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.oci import image_documents, layer_blobs
from rules_setcap.oci.archive_detection import ArchiveDetector, find_archive_evidence
from rules_setcap.oci.archive_import import ImportedArchive, import_archive
from rules_setcap.oci.blobs import HashingReader
from rules_setcap.oci.image import Difference, File, Image, Layer
from rules_setcap.oci.layer_reader import LayerReader
from rules_setcap.oci.named_images import IMAGE_FLAG, choose_images, list_names
from rules_setcap.oci.platforms import format_platform, parse_platform

__all__ = ["Difference", "File", "Image", "Layer", "read_images"]


def read_images(
    path: str, platform: str = "", non_images: list[image_documents.NonImage] | None = None, *, name: str = ""
) -> list[Image]:
    """Returns the images at a path.

    Args:
      path: the path of a directory or a file.
      platform: os/architecture[/variant] of the images to return; "" for all.
      non_images: a list to which the signatures and other entries beside the images are added; None to ignore them.
      name: the name or the digest of the images to return; "" for all.

    Raises:
      InputError: there is no image, or an image is not valid.
      OSError: the path cannot be read.
    """
    try:
        parsed = parse_platform(platform) if platform else None
    except ValueError as error:
        raise InputError([format_problem("platform", platform, str(error))]) from None
    if os.path.isdir(path):
        return _read_layout(path, path, parsed, ReadBudget(blobs=True), non_images, name=name)
    layers = LayerReader()
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            progress.begin_step("", size)
            if evidence := find_archive_evidence(file):
                return _read_archive(path, parsed, evidence, ReadBudget(size), non_images, name)
            file.seek(0)
            budget = ReadBudget(size)
            stream = HashingReader(file)
            content = DecompressedStream(stream, budget)
            archive = TarReader(content, budget)
            detector = ArchiveDetector(archive)
            layers.add_layer(detector, "", size)
            for _ in archive.read_rest():
                pass
            archive.check_end(content.codec)
            digest, _ = stream.read_rest()
            layers.layers[0] = Layer(digest, layers.layers[0].capabilities)
    except (TarError, DecompressionError) as error:
        raise InputError([format_problem("image", path, str(error))]) from None
    if detector.evidence:
        return _read_archive(path, parsed, detector.evidence, budget, non_images, name)
    if name:
        raise InputError([format_problem(IMAGE_FLAG, name, f"{quote(path)} is a tar of files, which has no name")])
    if parsed:
        raise InputError([format_problem("platform", platform, f"{quote(path)} is a tar of files, which has no platform")])
    try:
        return [layers.build_image("", {}, lambda: [_open_tar(path)])]
    except (TarError, DecompressionError) as error:
        raise InputError([format_problem("image", path, str(error))]) from None


@contextlib.contextmanager
def _open_tar(path: str) -> Iterator[TarReader]:
    with open_regular(path) as file:
        budget = ReadBudget(os.fstat(file.fileno()).st_size)
        yield TarReader(DecompressedStream(file, budget), budget)


def _read_archive(
    path: str,
    platform: dict[str, str] | None,
    evidence: str,
    budget: ReadBudget,
    non_images: list[image_documents.NonImage] | None,
    name: str,
) -> list[Image]:
    """Returns the images of an archive.

    Args:
      path: the path of the archive.
      platform: the platform of the images to return; None for all.
      evidence: why the file is taken for an archive, as a clause.
      budget: counts the reading of the layers; the size of the archive is its allowance.
      non_images: as for read_images().
      name: as for read_images().
    """
    with tempfile.TemporaryDirectory(prefix="getcap-") as directory:
        layout = os.path.join(directory, "layout")
        try:
            progress.begin_step("unpacking", os.path.getsize(path))
            archive = import_archive(layout, path, attribute="image", verify_later=True)
        except InputError as error:
            raise InputError(f"{text}; taken for an image archive, because {evidence}" for text in error.problems) from None
        return _read_layout(layout, path, platform, budget, non_images, name=name, archive=archive)


def _read_layout(
    layout: str,
    path: str,
    platform: dict[str, str] | None,
    budget: ReadBudget,
    non_images: list[image_documents.NonImage] | None,
    *,
    name: str,
    archive: ImportedArchive | None = None,
) -> list[Image]:
    """Returns the images of an OCI image layout directory.

    Args:
      layout: the path of the directory.
      path: the path that the user wrote, for messages.
      platform: the platform of the images to return; None for all.
      budget: counts the reading of the layers.
      non_images: as for read_images().
      name: as for read_images().
      archive: the archive from which this process has written the layout; None for a layout of the user.
    """
    docker_names = archive.list_docker_names() if archive else {}
    try:
        entries = image_documents.read_layout_images(layout, platform)
        if non_images is not None:
            non_images += entries.non_images
        if not entries.images:
            images = image_documents.read_layout_images(layout).images
            existing = sorted({quote(format_platform(image.config)) for image in images})
            if not platform or not existing:
                raise InputError(
                    [format_problem("image", path, f"no image in it{image_documents.describe_non_images(entries.non_images)}")]
                )
            what = f"{quote(path)} has no image for it; it has {', '.join(existing)}"
            raise InputError([format_problem("platform", format_platform(platform), what)])
        chosen = choose_images(path, layout, entries.images, name, docker_names) if name else entries.images
        names = list_names(layout, chosen, docker_names)
        return [
            replace(_read_image(layout, image, budget, archive is not None), names=image_names)
            for image, image_names in zip(chosen, names, strict=True)
        ]
    except InputError as error:
        raise InputError(
            text.replace(quote(layout), quote(path)).replace("base: ", "image: ", 1) for text in error.problems
        ) from None


def _read_image(layout: str, image: image_documents.ImageDocuments, budget: ReadBudget, is_unpacked: bool) -> Image:
    """Returns an image of a layout with the capabilities in its layers.

    Args:
      layout: the path of the layout directory.
      image: the manifest and the config of the image.
      budget: counts the reading of the layers.
      is_unpacked: whether this process has written the layout, from an archive.

    Raises:
      InputError: a layer is not valid.
    """
    layers = LayerReader()
    blobs = layer_blobs.list_image_layers(layout, image, have_digests=is_unpacked)
    with contextlib.closing(layer_blobs.open_layers(blobs, budget, layer_blobs.count_layers_ahead())) as opened:
        for number, (blob, layer) in enumerate(zip(blobs, opened, strict=True), 1):
            progress.begin_step(f"layer {number} of {len(blobs)}", blob.descriptor["size"])
            with layer as archive:
                layers.add_layer(archive, blob.descriptor["digest"], blob.descriptor["size"])
    try:
        second_budget = ReadBudget()
        progress.begin_step("all layers again", sum(blob.descriptor["size"] for blob in blobs))
        return layers.build_image(
            format_platform(image.config), image.config, lambda: (layer_blobs.open_layer(blob, second_budget) for blob in blobs)
        )
    except TarError as error:
        raise InputError([format_problem("base", layout, str(error))]) from None
