"""Opens the image that `imagecap set` reads: a layout directory, or an archive that is unpacked into one."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.decompress import DecompressionError
from rules_setcap.archive.reader import TarError
from rules_setcap.diagnostics import progress
from rules_setcap.diagnostics.errors import InputError, escape, format_problem, quote
from rules_setcap.diagnostics.standard_input import STANDARD_INPUT, copy_standard_input, open_standard_input
from rules_setcap.oci import image_documents
from rules_setcap.oci.archive_import import import_archive, verify_diff_id
from rules_setcap.oci.image_names import reject_image_name, reject_plain_directory
from rules_setcap.oci.named_images import choose_images, list_names
from rules_setcap.oci.platforms import format_platform, parse_platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules_setcap.oci.image_documents import ImageDocuments

_LAYER_HINT = "; to add the files of a tar"
"""The beginning of the part of a message that is about rules of Bazel."""


class Source(NamedTuple):
    """An image that was opened.

    Attributes:
      name: its name on the command line.
      layout: the path of an OCI layout directory with its blobs.
      is_unpacked: whether the layout was made for this program, so that its blobs may be moved.
      kind: "oci", "oci-archive" or "docker-archive".
      has_manifests: whether the image has manifests; a Docker archive may have none, and then the layout has some that were made.
      codec: how the archive is compressed; "none" for a directory.
      docker_names: by the digest of a config, the names of the image in the manifest.json of a Docker archive.
      unverified: the digests and diff_ids of layers that have not been unpacked to verify them.
      size: bytes of the archive; None for a directory.
    """

    name: str
    layout: str
    is_unpacked: bool
    kind: str
    has_manifests: bool
    codec: str
    docker_names: dict[str, list[str]]
    unverified: frozenset[tuple[str, str]] = frozenset()
    size: int | None = None

    def make_budget(self, *, copies: bool = False) -> ReadBudget:
        """Returns a new budget for reading layers. That of an archive does not grow with its layers, which may be larger than itself.

        Args:
          copies: whether the bytes are hashed and written, and not only skipped.
        """
        return ReadBudget(self.size, copies=copies, blobs=self.size is None)


def open_source(name: str, directory: str) -> Source:
    """Opens an image.

    Args:
      name: a layout directory or an archive; "-" for an archive on standard input.
      directory: an existing directory for the unpacked archive.

    Raises:
      InputError: it is not an image.
      OSError: it cannot be read.
    """
    path = name
    if name == STANDARD_INPUT:
        stream = open_standard_input("image", "docker save app | imagecap set - OUT PATH=CLAUSES")
        path = os.path.join(directory, "input")
        progress.begin_step("copying standard input", None)
        copy_standard_input(stream, path)
    else:
        reject_image_name(name)
        reject_plain_directory(name)
        if os.path.isdir(name):
            return Source(name, name, False, "oci", True, "none", {})
    layout = os.path.join(directory, "layout")
    size = os.path.getsize(path)
    progress.begin_step("unpacking", size)
    with _name_source(path, name):
        archive = import_archive(layout, path, attribute="image", verify_later=True)
    if path != name:
        os.unlink(path)
    kind = "oci-archive" if archive.docker_images is None else "docker-archive"
    names = archive.list_docker_names()
    return Source(name, layout, True, kind, archive.has_manifests, archive.codec, names, frozenset(archive.unverified), size)


def read_images(source: Source, platform: str, image_name: str = "") -> image_documents.LayoutImages:
    """Returns the images of a source for a platform, and the entries of its indexes that are not images.

    Args:
      source: the source.
      platform: os/architecture[/variant]; "" for all.
      image_name: the name or digest of the images; "" for all.

    Raises:
      InputError: there is no such image, or an image is not valid.
    """
    try:
        parsed = parse_platform(platform) if platform else None
    except ValueError as error:
        raise InputError([format_problem("platform", platform, str(error))]) from None
    with name_layout(source):
        entries = image_documents.read_layout_images(source.layout, parsed)
        if entries.images and image_name:
            return entries._replace(
                images=choose_images(source.name, source.layout, entries.images, image_name, source.docker_names)
            )
        if entries.images:
            return entries
        images = image_documents.read_layout_images(source.layout).images
    existing = sorted({quote(format_platform(image.config)) for image in images})
    if not platform or not existing:
        what = f"no image in it{image_documents.describe_non_images(entries.non_images)}"
        raise InputError([format_problem("image", source.name, what)])
    raise InputError(
        [format_problem("platform", platform, f"{quote(source.name)} has no image for it; it has {', '.join(existing)}")]
    )


def label_images(source: Source, images: Sequence[ImageDocuments]) -> list[str]:
    """Returns a text for each image that tells it from the others, for a line of output: its first name if the names differ, and its platform."""
    names = list_names(source.layout, images, source.docker_names)
    platforms = [escape(format_platform(image.config)) for image in images]
    if len(set(names)) == 1:
        return platforms
    return [", ".join([*map(escape, image_names[:1]), platform]) for image_names, platform in zip(names, platforms, strict=True)]


def verify_other_layers(source: Source, images: Sequence[ImageDocuments]) -> None:
    """Verifies the layers that no image has whose layers are going to be read.

    Args:
      source: the source.
      images: the images whose layers are going to be read.

    Raises:
      InputError: a layer has another diff_id.
    """
    pairs = {
        (layer["digest"], diff_id)
        for image in images
        for layer, diff_id in zip(image.manifest["layers"], image.config["rootfs"]["diff_ids"], strict=True)
    }
    budget = source.make_budget()
    for digest, diff_id in sorted(source.unverified - pairs):
        try:
            verify_diff_id(source.layout, digest, diff_id, budget)
        except (TarError, DecompressionError) as error:
            raise InputError([format_problem("image", source.name, str(error))]) from None


@contextlib.contextmanager
def name_layout(source: Source) -> Iterator[None]:
    """Returns a context manager that names the source in the problems of its block, in place of the layout."""
    with _name_source(source.layout, source.name):
        yield


@contextlib.contextmanager
def _name_source(path: str, name: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(_rename(error.problems, path, name)) from None


def _rename(problems: Sequence[str], path: str, name: str) -> Iterator[str]:
    for problem in problems:
        text = problem.partition(_LAYER_HINT)[0]
        if text.startswith(("base: ", "image: ")):
            text = text.replace(quote(path), quote(name)).replace("base: ", "image: ", 1)
        yield text
